use super::*;

#[test]
fn an_open_target_is_entered_with_one_request() {
    let mut bench = Bench::new();
    let text = format!("{} InitiatorAlias=laptop InitialR2T=No MaxRecvDataSegmentLength=65536", names(OPEN));
    let (response, established) = bench.end(OPERATIONAL_TO_END, &text);
    let expected = "InitialR2T=No TargetPortalGroupTag=3 TargetAlias=Time";
    assert!(said(&response).starts_with(expected), "{}", said(&response));
    assert_eq!(value(&response, "TargetAlias"), "Time Machine");
    assert_eq!(value(&response, "MaxRecvDataSegmentLength"), "262144");
    assert!(response.transit && (response.csg, response.nsg) == (1, 3));
    assert_eq!((response.tsih, response.initiator_task_tag), (0x1234, 0xabcd));
    assert_eq!((response.stat_sn, response.exp_cmd_sn, response.max_cmd_sn), (1, 123, 123));
    assert_eq!((established.cmd_sn, established.stat_sn, established.tsih), (123, 2, 0x1234));
    let expected = NewSession {
        initiator_name: INITIATOR.into(),
        initiator_alias: Some("laptop".into()),
        isid: [0x80, 1, 2, 3, 4, 5],
        target: Some(OPEN.into()),
        cid: 9,
        session_type: SessionType::Normal,
        authenticated_user: None,
        protocol_level: 1,
    };
    assert_eq!(established.session, expected);
    assert_eq!(bench.house.admitted, [expected]);
    assert_eq!(established.parameters.max_recv_data_segment_length_initiator, 65_536);
    assert_eq!(established.parameters.max_recv_data_segment_length_target, 262_144);
    assert!(!established.parameters.initial_r2t);
}

#[test]
fn both_stages_are_walked_with_numbers_that_count_up() {
    let mut bench = Bench::new();
    let first = bench.ok(SECURITY_TO_OPERATIONAL, &format!("{} AuthMethod=CHAP,None", names(OPEN)));
    assert!(first.transit && (first.csg, first.nsg) == (0, 1));
    assert_eq!(first.tsih, 0, "the handle comes only at the end");
    assert_eq!(value(&first, "AuthMethod"), "None", "what ipxe offers when it has a secret");
    assert_eq!(value(&first, "TargetPortalGroupTag"), "3", "edk2 looks for it in the first response");
    let second = bench.ok(STAY_OPERATIONAL, "HeaderDigest=CRC32C");
    assert!(!second.transit && second.csg == 1);
    let (third, established) = bench.end(OPERATIONAL_TO_END, "DataDigest=CRC32C");
    assert_eq!([first.stat_sn, second.stat_sn, third.stat_sn, established.stat_sn], [1, 2, 3, 4]);
    assert!(established.parameters.header_digest && established.parameters.data_digest);
    let all = [said(&first), said(&second), said(&third)].concat();
    for key in ["TargetPortalGroupTag=", "TargetAlias=", "MaxRecvDataSegmentLength="] {
        assert_eq!(all.matches(key).count(), 1, "{key} is said once: {all}");
    }
}

#[test]
fn the_security_stage_may_be_empty_and_lead_to_the_end_at_once() {
    let mut bench = Bench::new();
    let (response, established) = bench.end(SECURITY_TO_END, &names(OPEN));
    assert_eq!((response.csg, response.nsg), (0, 3));
    assert_eq!(established.parameters, Parameters::default(), "nothing was declared, so the defaults hold");
}

#[test]
fn a_missing_session_type_means_normal_as_globalsan_has_it() {
    let mut bench = Bench::new();
    let text = format!("InitiatorName={INITIATOR} TargetName={OPEN}");
    let (_, established) = bench.end(OPERATIONAL_TO_END, &text);
    assert_eq!(established.session.session_type, SessionType::Normal);
}

#[test]
fn names_are_compared_in_lower_case_over_the_login() {
    let mut bench = Bench::new();
    let text = format!("InitiatorName={} TargetName={}", INITIATOR.to_uppercase(), OPEN.to_uppercase());
    let (_, established) = bench.end(OPERATIONAL_TO_END, &text);
    assert_eq!(established.session.initiator_name, INITIATOR);
    assert_eq!(established.session.target.as_deref(), Some(OPEN));
}

#[test]
fn a_discovery_session_needs_no_target() {
    let mut bench = Bench::new();
    let text = format!("InitiatorName={INITIATOR} SessionType=Discovery MaxBurstLength=4096");
    let (response, established) = bench.end(OPERATIONAL_TO_END, &text);
    assert!(established.session.is_discovery() && established.session.target.is_none());
    assert_eq!(value(&response, "MaxBurstLength"), "Irrelevant");
    assert_eq!(
        value(&response, "TargetPortalGroupTag"),
        "3",
        "for all session types (RFC 7143 section 6.3.1)"
    );
    assert!(!said(&response).contains("TargetAlias"));
}

#[test]
fn keys_may_be_cut_anywhere_and_continued() {
    let whole = words(&format!("{} InitialR2T=No FirstBurstLength=4096", names(OPEN)));
    for cut in 0..whole.len() {
        let mut bench = Bench::new();
        let (first, second) = whole.split_at(cut);
        let step = bench.give(&request(STAY_OPERATIONAL | CONTINUE, first));
        let Step::Respond(response) = step else { panic!("{step:?}") };
        assert!(response.data.is_empty() && !response.transit && !response.continue_ && response.csg == 1);
        let Step::Established(_, established) = bench.give(&request(OPERATIONAL_TO_END, second)) else {
            panic!("cut at {cut}")
        };
        assert_eq!(established.parameters.first_burst_length, 4096);
    }
}

#[test]
fn every_pair_may_have_a_request_of_its_own() {
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &names(OPEN));
    for pair in ["InitialR2T=No", "MaxBurstLength=8192", "FirstBurstLength=65536", "", "HeaderDigest=CRC32C"]
    {
        bench.ok(STAY_OPERATIONAL, pair);
    }
    let (_, established) = bench.end(OPERATIONAL_TO_END, "");
    let parameters = established.parameters;
    assert_eq!((parameters.max_burst_length, parameters.first_burst_length), (8192, 8192));
    assert!(parameters.header_digest && !parameters.initial_r2t);
}

#[test]
fn an_answer_that_overflows_one_pdu_is_fetched_in_pieces() {
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &names(OPEN));
    let offers: Vec<u8> = (0..200).flat_map(|key| format!("X-{key:0>60}=1\0").into_bytes()).collect();
    let (first, second) = offers.split_at(8192);
    bench.give(&request(STAY_OPERATIONAL | CONTINUE, first));
    let Step::Respond(mut response) = bench.give(&request(OPERATIONAL_TO_END, second)) else {
        panic!("it goes on")
    };
    let mut text = Vec::new();
    while response.continue_ {
        assert!(!response.transit && !response.data.is_empty() && response.data.len() <= 8192);
        text.extend(response.data);
        response = match bench.say(OPERATIONAL_TO_END, "") {
            Step::Respond(response) | Step::Established(response, _) => response,
            other => panic!("{other:?}"),
        };
    }
    assert!(response.transit && response.nsg == 3 && !response.data.is_empty());
    text.extend(response.data);
    let pairs = text::pairs(&text).unwrap();
    assert_eq!(pairs.iter().filter(|pair| pair.value == b"NotUnderstood").count(), 200);
}

#[test]
fn new_text_may_not_come_before_the_rest_of_an_answer() {
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &names(OPEN));
    let offers: Vec<u8> = (0..120).flat_map(|key| format!("X-{key:0>60}=\0").into_bytes()).collect();
    let Step::Respond(response) = bench.give(&request(STAY_OPERATIONAL, &offers)) else {
        panic!("it goes on")
    };
    assert!(response.continue_);
    assert_eq!(bench.fail(OPERATIONAL_TO_END, "InitialR2T=No").0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn declarations_repeated_in_the_next_stage_are_taken_as_libiscsi_sends_them() {
    let mut bench = Bench::new();
    let both = format!("{} InitiatorAlias=me", names(OPEN));
    bench.ok(SECURITY_TO_OPERATIONAL, &format!("{both} AuthMethod=CHAP,None"));
    let (response, _) = bench.end(OPERATIONAL_TO_END, &format!("{both} InitialR2T=No"));
    assert!(!said(&response).contains("InitiatorName"), "and not answered");
}

#[test]
fn a_login_that_is_not_immediate_or_changes_its_tag_is_taken() {
    let mut bench = Bench::new();
    let first = words(&format!("{} AuthMethod=None", names(OPEN)));
    bench.give(&LoginRequest { initiator_task_tag: 1, ..request(SECURITY_TO_OPERATIONAL, &first) });
    let last = LoginRequest { initiator_task_tag: 2, cmd_sn: 124, ..request(OPERATIONAL_TO_END, b"") };
    let Step::Established(response, established) = bench.give(&last) else { panic!("it succeeds") };
    assert_eq!(response.initiator_task_tag, 2);
    assert_eq!(established.cmd_sn, 123, "the first request's number counts");
}
