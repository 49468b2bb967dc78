use super::*;

#[test]
fn what_is_missing_is_missed() {
    let fail = |text: &str| Bench::new().fail(OPERATIONAL_TO_END, text);
    assert_eq!(fail("").0, LoginStatus::MISSING_PARAMETER, "a login of no length");
    assert_eq!(fail(&format!("TargetName={OPEN}")).0, LoginStatus::MISSING_PARAMETER);
    let (status, reason) = fail(&format!("InitiatorName={INITIATOR}"));
    assert_eq!(
        (status, reason.as_str()),
        (LoginStatus::MISSING_PARAMETER, "missing parameter (0207): TargetName is missing")
    );
    assert_eq!(fail("InitiatorName=NotUnderstood").0, LoginStatus::MISSING_PARAMETER);
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    let fail = |text: &str| Bench::new().fail(OPERATIONAL_TO_END, text).0;
    assert_eq!(fail(&names("iqn.2001-04.com.example:none")), LoginStatus::NOT_FOUND);
    assert_eq!(fail(&names("disk")), LoginStatus::NOT_FOUND);
    assert_eq!(fail(&names("iqn.2001-04.com.example:far")), LoginStatus::AUTHORIZATION_FAILURE);
    assert_eq!(fail(&format!("InitiatorName=me TargetName={OPEN}")), LoginStatus::INITIATOR_ERROR);
    let other = format!("InitiatorName={INITIATOR} SessionType=Bulk TargetName={OPEN}");
    assert_eq!(fail(&other), LoginStatus::SESSION_TYPE_NOT_SUPPORTED);
}

#[test]
fn what_a_peer_calls_itself_can_not_break_a_log_line() {
    let mut bench = Bench::new();
    let text = format!("InitiatorName={INITIATOR}\0TargetName=iqn.\u{1b}[2J\nx{}\0", "y".repeat(150));
    let (status, reason) = refused(bench.give(&request(OPERATIONAL_TO_END, text.as_bytes())));
    assert_eq!(status, LoginStatus::NOT_FOUND);
    assert!(reason.contains("\\u{1b}[2J\\nx") && reason.len() < 300, "{reason}");
    let text = format!("{}\0InitiatorAlias=a\u{7}\nb\0", names(OPEN).replace(' ', "\0"));
    let Step::Established(_, established) = Bench::new().give(&request(OPERATIONAL_TO_END, text.as_bytes()))
    else {
        panic!("it succeeds")
    };
    assert_eq!(established.session.initiator_alias.as_deref(), Some("ab"));
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let text = words(&names(OPEN));
    let good = request(OPERATIONAL_TO_END, &text);
    let fail = |request: LoginRequest<'_>| refused(Bench::new().give(&request)).0;
    assert_eq!(
        fail(LoginRequest { version_min: 1, version_max: 1, ..good.clone() }),
        LoginStatus::UNSUPPORTED_VERSION
    );
    assert_eq!(fail(LoginRequest { tsih: 7, ..good.clone() }), LoginStatus::SESSION_DOES_NOT_EXIST);
    for (csg, nsg) in [(2, 3), (3, 3), (1, 0), (1, 1), (1, 2), (0, 0), (0, 2)] {
        assert_eq!(
            fail(LoginRequest { csg, nsg, ..good.clone() }),
            LoginStatus::INITIATOR_ERROR,
            "{csg} to {nsg}"
        );
    }
    assert_eq!(fail(LoginRequest { continue_: true, ..good.clone() }), LoginStatus::INITIATOR_ERROR);
    let newer = LoginRequest { version_max: 9, ..good };
    assert!(matches!(Bench::new().give(&newer), Step::Established(..)), "version 0 is in the range");
}

#[test]
fn all_requests_of_a_login_have_the_same_identifiers_and_stage() {
    let changes: [fn(&mut LoginRequest<'_>); 5] = [
        |request| request.isid = [0; 6],
        |request| request.cid = 10,
        |request| request.tsih = 1,
        |request| request.csg = 0,
        |request| request.csg = 3,
    ];
    for change in changes {
        let mut bench = Bench::new();
        bench.ok(STAY_OPERATIONAL, &names(OPEN));
        let mut next = request(STAY_OPERATIONAL, b"");
        change(&mut next);
        refused(bench.give(&next));
        assert!(bench.house.admitted.is_empty());
    }
}

#[test]
fn the_operational_stage_is_not_entered_without_leave() {
    let mut bench = Bench::new();
    bench.ok(STAY_SECURITY, &names(OPEN));
    assert_eq!(bench.fail(OPERATIONAL_TO_END, "").0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn a_refused_login_stays_refused() {
    let mut bench = Bench::new();
    bench.fail(OPERATIONAL_TO_END, &names("disk"));
    assert_eq!(bench.fail(OPERATIONAL_TO_END, &names(OPEN)).0, LoginStatus::INITIATOR_ERROR);
    assert!(bench.house.admitted.is_empty());
}

#[test]
fn a_key_negotiated_twice_ends_the_login() {
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &format!("{} InitialR2T=No", names(OPEN)));
    let (status, reason) = bench.fail(OPERATIONAL_TO_END, "InitialR2T=No");
    assert_eq!(status, LoginStatus::INITIATOR_ERROR);
    assert_eq!(reason, "initiator error (0200): the key InitialR2T came twice");
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &names(OPEN));
    assert_eq!(bench.fail(OPERATIONAL_TO_END, &names(LOCKED)).0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn the_type_of_a_session_can_not_change_later() {
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &format!("InitiatorName={INITIATOR} TargetName={OPEN}"));
    assert_eq!(bench.fail(OPERATIONAL_TO_END, "SessionType=Discovery").0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn hopeless_text_ends_the_login() {
    let texts: [&[u8]; 4] = [b"no pair\0", b"=x\0", &[b'K'; 200], b"A\x00=\x00"];
    for text in texts {
        let whole = [words(&names(OPEN)).as_slice(), text].concat();
        let (status, _) = refused(Bench::new().give(&request(OPERATIONAL_TO_END, &whole)));
        assert_eq!(status, LoginStatus::INITIATOR_ERROR, "{text:?}");
    }
}

#[test]
fn a_login_has_an_end_in_bytes_and_in_requests() {
    let mut bench = Bench::new();
    let status = (0..9).find_map(|_| match bench.give(&request(STAY_SECURITY | CONTINUE, &[b'A'; 8192])) {
        Step::Respond(_) => None,
        step => Some(refused(step).0),
    });
    assert_eq!(status, Some(LoginStatus::INITIATOR_ERROR), "the text is bounded");
    let mut bench = Bench::new();
    bench.ok(STAY_OPERATIONAL, &names(OPEN));
    for _ in 1..REQUESTS_LIMIT {
        bench.ok(STAY_OPERATIONAL, "");
    }
    assert_eq!(bench.fail(OPERATIONAL_TO_END, "").0, LoginStatus::INITIATOR_ERROR);
}

#[test]
fn a_full_house_says_so() {
    let mut bench = Bench::with(House { full: true, ..House::default() });
    assert_eq!(bench.fail(OPERATIONAL_TO_END, &names(OPEN)).0, LoginStatus::OUT_OF_RESOURCES);
}

#[test]
fn statuses_have_their_codes() {
    assert_eq!(
        (LoginStatus::SESSION_DOES_NOT_EXIST.class(), LoginStatus::SESSION_DOES_NOT_EXIST.detail()),
        (2, 10)
    );
    assert_eq!(LoginStatus::OUT_OF_RESOURCES.to_string(), "out of resources (0302)");
    let login = Login::new(Wishes::default());
    let response = login.refuse(&request(STAY_SECURITY, b""), LoginStatus::INVALID_DURING_LOGIN);
    assert_eq!((response.status.class(), response.status.detail(), response.isid[1]), (2, 11, 1));
}

#[test]
fn a_session_without_a_handle_is_no_session() {
    let mut bench = Bench::with(House { without_handles: true, ..House::default() });
    assert_eq!(bench.fail(OPERATIONAL_TO_END, &names(OPEN)).0, LoginStatus::TARGET_ERROR);
}

#[test]
fn nothing_follows_the_end_of_a_login() {
    let mut bench = Bench::new();
    bench.end(OPERATIONAL_TO_END, &names(OPEN));
    assert_eq!(bench.fail(STAY_OPERATIONAL, "").0, LoginStatus::INITIATOR_ERROR);
    assert_eq!(bench.house.admitted.len(), 1);
}
