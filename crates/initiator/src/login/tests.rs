//! Logins with targets that behave and that do not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;
use timedisk_iscsi::chap::ALGORITHMS;
use timedisk_iscsi::encoding::{decode, encode_hex};
use timedisk_iscsi::pdu::HEADER_LENGTH;

use super::*;

const TARGET: &str = "iqn.2026-01.org.example:disk";

fn settings() -> Settings {
    Settings::new([1, 2, 3])
}

fn identity(name: &str, secret: &str) -> Identity {
    Identity { name: name.into(), secret: secret.into() }
}

fn begin(settings: Settings) -> (Login, Pdu) {
    Login::begin(settings, Some(TARGET), &mut |bytes| bytes.fill(0x5a))
}

fn keys(pdu: &Pdu) -> Vec<(String, String)> {
    let pairs = text::pairs(&pdu.data).unwrap();
    pairs.iter().map(|pair| (pair.key.to_owned(), pair.text().unwrap().to_owned())).collect()
}

fn key(pdu: &Pdu, name: &str) -> Option<String> {
    keys(pdu).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// A response to a request, with a number for each.
struct Answers(u32);

impl Answers {
    fn to(&mut self, request: &Pdu, pairs: &[(&str, &str)]) -> Pdu {
        let request = layout::LoginRequest::of(&request.header);
        let mut header = layout::LoginResponse::zeroed();
        header.opcode = Response::Login as u8;
        header.flags = request.flags;
        header.isid = request.isid;
        header.tsih = if request.flags & 0x83 == 0x83 { 9 } else { 0 }.into();
        header.initiator_task_tag = request.initiator_task_tag;
        header.stat_sn = self.0.into();
        header.exp_cmd_sn = request.cmd_sn;
        header.max_cmd_sn = (request.cmd_sn.get() + 7).into();
        self.0 = self.0.wrapping_add(1);
        let mut text = text::Writer::default();
        pairs.iter().for_each(|(key, value)| text.pair(key, value));
        Pdu { header: header.bytes(), data: text.finish() }
    }
}

fn sent(next: Result<Next, LoginError>) -> Pdu {
    match next.unwrap() {
        Next::Send(pdu) => pdu,
        Next::Done(terms) => panic!("{terms:?}"),
    }
}

/// As far as the offers.
fn to_offers(settings: Settings) -> (Login, Pdu, Answers) {
    let (mut login, first) = begin(settings);
    let mut answers = Answers(0xffff_ffff);
    let offers = sent(login.receive(&answers.to(&first, &[("AuthMethod", "None")])));
    (login, offers, answers)
}

fn settled(pairs: &[(&str, &str)]) -> Result<Terms, LoginError> {
    let (mut login, offers, mut answers) = to_offers(settings().with_digests(true, true));
    match login.receive(&answers.to(&offers, pairs))? {
        Next::Done(terms) => Ok(*terms),
        Next::Send(pdu) => panic!("{pdu:?}"),
    }
}

#[test]
fn a_login_without_a_user_takes_two_requests() {
    let (_, first) = begin(settings());
    assert_eq!(layout::LoginRequest::of(&first.header).flags, 0x81, "the security stage ends at once");
    assert_eq!(key(&first, "TargetName").as_deref(), Some(TARGET));
    let (mut login, offers, mut answers) = to_offers(settings());
    assert_eq!(layout::LoginRequest::of(&offers.header).flags, 0x87);
    assert_eq!(key(&offers, "MaxConnections").as_deref(), Some("1"));
    let Next::Done(terms) = login.receive(&answers.to(&offers, &[])).unwrap() else { panic!() };
    assert_eq!((terms.tsih, terms.cmd_sn, terms.max_cmd_sn, terms.exp_stat_sn), (9, 1, 8, 1));
    assert!(terms.parameters.initial_r2t, "what is not answered keeps its default");
    assert_eq!(terms.parameters.max_recv_data_segment_length_initiator, 1 << 20);
}

#[test]
fn the_answers_settle_the_terms() {
    let terms = settled(&[
        ("HeaderDigest", "CRC32C"),
        ("DataDigest", "None"),
        ("InitialR2T", "No"),
        ("ImmediateData", "No"),
        ("MaxRecvDataSegmentLength", "262144"),
        ("MaxBurstLength", "65536"),
        ("FirstBurstLength", "131072"),
        ("MaxOutstandingR2T", "2"),
        ("DefaultTime2Wait", "3"),
        ("ErrorRecoveryLevel", "0"),
        ("TargetPortalGroupTag", "1"),
        ("TargetAlias", "a disk"),
    ]);
    let parameters = terms.unwrap().parameters;
    assert_eq!((parameters.header_digest, parameters.data_digest), (true, false));
    assert_eq!((parameters.initial_r2t, parameters.immediate_data), (false, false));
    assert_eq!(parameters.max_recv_data_segment_length_target, 262_144);
    assert_eq!((parameters.max_burst_length, parameters.first_burst_length), (65_536, 65_536));
    assert_eq!((parameters.max_outstanding_r2t, parameters.default_time2wait), (2, 3));
}

#[test]
fn answers_that_break_the_rule_of_their_key_are_refused() {
    let cases = [
        ("HeaderDigest", "MD5"),
        ("MaxBurstLength", "16777215"),
        ("MaxBurstLength", "511"),
        ("MaxBurstLength", "many"),
        ("MaxOutstandingR2T", "17"),
        ("MaxConnections", "2"),
        ("InitialR2T", "Maybe"),
        ("ErrorRecoveryLevel", "1"),
        ("MaxRecvDataSegmentLength", "16777216"),
        ("DefaultTime2Retain", "5"),
    ];
    for (key, value) in cases {
        let error = settled(&[(key, value)]).unwrap_err();
        assert_eq!(error, LoginError::Answer { key: key.into(), value: value.into() });
    }
    let twice = settled(&[("MaxBurstLength", "512"), ("MaxBurstLength", "1024")]);
    assert!(matches!(twice, Err(LoginError::Answer { .. })), "{twice:?}");
}

#[test]
fn what_the_target_refuses_keeps_its_default() {
    let refused =
        [("MaxOutstandingR2T", "Reject"), ("InitialR2T", "Irrelevant"), ("DataDigest", "NotUnderstood")];
    assert_eq!(settled(&refused).unwrap().parameters.max_outstanding_r2t, 1);
}

#[test]
fn offers_of_the_target_are_answered() {
    let (mut login, offers, mut answers) = to_offers(settings());
    let mut response =
        answers.to(&offers, &[("X-org.example.Speed", "7"), ("IFMarker", "Yes"), ("TaskReporting", "x")]);
    response.header[1] = 0x04;
    let next = sent(login.receive(&response));
    let expected =
        [("X-org.example.Speed", "NotUnderstood"), ("IFMarker", "No"), ("TaskReporting", "Irrelevant")];
    assert_eq!(keys(&next), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn text_in_pieces_is_put_together() {
    let (mut login, offers, mut answers) = to_offers(settings());
    let whole = answers.to(&offers, &[("MaxBurstLength", "65536")]);
    let (front, back) = whole.data.split_at(9);
    let mut first = Pdu { data: front.to_vec(), ..whole.clone() };
    first.header[1] = 0x44;
    let empty = sent(login.receive(&first));
    assert_eq!((empty.data.len(), empty.header[1]), (0, 0x04));
    let mut second = Pdu { data: back.to_vec(), ..answers.to(&empty, &[]) };
    second.header[1] = 0x04;
    let next = sent(login.receive(&second));
    assert_eq!(next.header[1], 0x87, "the stage is to end now");
    let Next::Done(terms) = login.receive(&answers.to(&next, &[])).unwrap() else { panic!() };
    assert_eq!(terms.parameters.max_burst_length, 65_536);
}

#[test]
fn a_connection_that_joins_a_session_negotiates_only_what_is_its_own() {
    let parameters = Parameters { max_connections: 2, max_burst_length: 4096, ..Parameters::default() };
    let parameters =
        Parameters { header_digest: true, max_recv_data_segment_length_target: 1 << 20, ..parameters };
    let joined = || Some(Joined { tsih: 9, cmd_sn: 77, parameters });
    let (mut login, offers, mut answers) = to_offers(Settings { cid: 1, joined: joined(), ..settings() });
    let request = layout::LoginRequest::of(&offers.header);
    assert_eq!((request.tsih.get(), request.cid.get(), request.cmd_sn.get()), (9, 1, 77));
    let names: Vec<String> = keys(&offers).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["HeaderDigest", "DataDigest", "MaxRecvDataSegmentLength"]);
    let Next::Done(terms) = login.receive(&answers.to(&offers, &[])).unwrap() else { panic!() };
    assert_eq!((terms.parameters.max_burst_length, terms.parameters.max_connections), (4096, 2));
    assert!(!terms.parameters.header_digest);
    assert_eq!(terms.parameters.max_recv_data_segment_length_target, 8192);
    let (mut login, offers, mut answers) = to_offers(Settings { joined: joined(), ..settings() });
    let mut response = answers.to(&offers, &[]);
    response.header[15] = 8;
    assert!(matches!(login.receive(&response), Err(LoginError::Senseless(_))), "another session's");
}

/// Answers to CHAP, up to the target's proof.
fn chap(settings: Settings, algorithm: &str) -> (Login, Pdu, Answers) {
    let (mut login, first) = begin(settings);
    assert_eq!(layout::LoginRequest::of(&first.header).flags, 0, "the stage does not end");
    let mut answers = Answers(5);
    let offer = sent(login.receive(&answers.to(&first, &[("AuthMethod", "CHAP")])));
    assert_eq!(key(&offer, "CHAP_A").as_deref(), Some("8,6,5,7"));
    let challenge = [("CHAP_A", algorithm), ("CHAP_I", "17"), ("CHAP_C", "0x0102030405060708")];
    let proof = sent(login.receive(&answers.to(&offer, &challenge)));
    (login, proof, answers)
}

#[test]
fn every_hash_that_we_have_is_offered() {
    let (mut login, first) = begin(Settings { user: Some(identity("joe", "correct horse")), ..settings() });
    let offer = sent(login.receive(&Answers(1).to(&first, &[("AuthMethod", "CHAP")])));
    let mut offered: Vec<u8> =
        key(&offer, "CHAP_A").unwrap().split(',').map(|item| item.parse().unwrap()).collect();
    offered.sort_unstable();
    assert_eq!(offered, ALGORITHMS.iter().map(|known| known.number).collect::<Vec<_>>());
}

#[test]
fn every_hash_proves_who_we_are() {
    for algorithm in ALGORITHMS {
        let user = Settings { user: Some(identity("joe", "correct horse")), ..settings() };
        let (mut login, proof, mut answers) = chap(user, &algorithm.number.to_string());
        let expected = algorithm.response(17, b"correct horse", &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(key(&proof, "CHAP_N").as_deref(), Some("joe"));
        assert_eq!(decode(&key(&proof, "CHAP_R").unwrap(), 99).unwrap(), expected);
        assert_eq!(key(&proof, "CHAP_C"), None, "the target is not asked");
        let offers = sent(login.receive(&answers.to(&proof, &[])));
        assert_eq!(layout::LoginRequest::of(&offers.header).flags, 0x87);
    }
}

#[test]
fn a_target_has_to_prove_who_it_is_where_that_is_asked() {
    let md5 = &ALGORITHMS[0];
    let asked = || Settings {
        user: Some(identity("joe", "correct horse")),
        peer: Some(identity("disk", "battery staple")),
        ..settings()
    };
    let proof_of = |secret: &[u8], name: &str| {
        let (mut login, proof, mut answers) = chap(asked(), "5");
        let challenge = decode(&key(&proof, "CHAP_C").unwrap(), 99).unwrap();
        let identifier = key(&proof, "CHAP_I").unwrap().parse().unwrap();
        let response = encode_hex(&md5.response(identifier, secret, &challenge));
        login.receive(&answers.to(&proof, &[("CHAP_N", name), ("CHAP_R", &response)]))
    };
    assert!(proof_of(b"battery staple", "disk").is_ok());
    let impostor = Err(LoginError::Impostor("disk".into()));
    assert_eq!(proof_of(b"another secret", "disk"), impostor);
    assert_eq!(proof_of(b"battery staple", "other"), impostor);
    let (mut login, proof, mut answers) = chap(asked(), "5");
    assert_eq!(login.receive(&answers.to(&proof, &[])), impostor, "no proof at all");
    let (mut login, first) = begin(asked());
    assert_eq!(key(&first, "AuthMethod").as_deref(), Some("CHAP"));
    let none = login.receive(&Answers(1).to(&first, &[("AuthMethod", "None")]));
    assert_eq!(none, impostor, "a target that wants to skip it");
}

#[test]
fn what_we_do_not_have_is_said() {
    let user = || Settings { user: Some(identity("joe", "correct horse")), ..settings() };
    let answer = |settings: Settings, pairs: &[(&str, &str)]| {
        let (mut login, first) = begin(settings);
        login.receive(&Answers(1).to(&first, pairs)).unwrap_err()
    };
    for wanted in ["CHAP", "Reject"] {
        assert_eq!(answer(settings(), &[("AuthMethod", wanted)]), LoginError::SecretWanted);
    }
    assert_eq!(answer(user(), &[("AuthMethod", "KRB5")]), LoginError::Method("KRB5".into()));
    assert!(matches!(answer(user(), &[]), LoginError::Senseless(_)));
    let (mut login, first) = begin(user());
    let mut answers = Answers(1);
    let offer = sent(login.receive(&answers.to(&first, &[("AuthMethod", "CHAP")])));
    for wrong in [
        [("CHAP_A", "9"), ("CHAP_I", "1"), ("CHAP_C", "0x01")],
        [("CHAP_A", "5,7"), ("CHAP_I", "1"), ("CHAP_C", "0x01")],
        [("CHAP_A", "5"), ("CHAP_I", "256"), ("CHAP_C", "0x01")],
        [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_C", "01")],
        [("CHAP_A", "5"), ("CHAP_I", "1"), ("CHAP_X", "0x01")],
    ] {
        assert!(login.receive(&answers.to(&offer, &wrong)).is_err(), "{wrong:?}");
    }
}

/// What comes of a response to the offers that differs in these bytes.
fn with(at: usize, bytes: &[u8]) -> Result<Next, LoginError> {
    let (mut login, offers, mut answers) = to_offers(settings());
    let mut response = answers.to(&offers, &[]);
    response.header[at..at + bytes.len()].copy_from_slice(bytes);
    login.receive(&response)
}

#[test]
fn answers_that_fit_no_request_are_refused() {
    assert!(with(0, &[0x23]).is_ok());
    let cases: [(usize, &[u8], &str); 10] = [
        (0, &[0x25], "opcode 25h"),
        (1, &[0xc7], "the text goes on, and the stage ends"),
        (1, &[0x85], "ends a stage that we did not end"),
        (1, &[0x83], "another stage"),
        (8, &[1], "another session"),
        (14, &[0, 0], "TSIH 0"),
        (16, &[1], "another task"),
        (24, &[0, 0, 0, 9], "status number 9, where number 0"),
        (36, &[2, 3], "not found (0203)"),
        (36, &[9, 9], "unknown status (0909)"),
    ];
    for (at, bytes, words) in cases {
        let error = with(at, bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error} / {words}");
    }
}

#[test]
fn a_target_that_has_moved_says_where() {
    let (mut login, first) = begin(settings());
    let mut response = Answers(1).to(&first, &[("TargetAddress", "[fd00::1]:99")]);
    response.header[36..38].copy_from_slice(&[1, 1]);
    assert_eq!(login.receive(&response), Err(LoginError::Moved { address: "[fd00::1]:99".into() }));
}

/// Texts of answers, sound ones among them.
const TEXTS: &str = "(AuthMethod=(None|CHAP)\0|CHAP_[AICNR]=[0-9x]{1,6}\0|MaxBurstLength=[0-9]{1,9}\0|\
    [A-Z][a-zA-Z0-9]{0,9}=[^\0]{0,9}\0|\\PC{0,9}){0,5}";

proptest! {
    #[test]
    fn no_answers_do_harm_and_every_login_ends(
        flags in proptest::collection::vec(any::<u8>(), 1..9),
        texts in proptest::collection::vec(TEXTS, 1..9),
        noise in proptest::collection::vec(any::<[u8; HEADER_LENGTH]>(), 0..2),
        with_user in any::<bool>(),
    ) {
        let user = with_user.then(|| identity("joe", "correct horse"));
        let (mut login, mut request) = begin(Settings { user, ..settings() });
        let mut answers = Answers(1);
        let sound = flags.iter().cycle().zip(texts.iter().cycle()).take(200);
        let mut rounds = 0;
        for (flags, text) in sound {
            rounds += 1;
            let mut response = answers.to(&request, &[]);
            response.data = text.clone().into_bytes();
            if flags & 0x10 != 0 {
                response.header[1] = flags & 0xcf;
            }
            if flags & 0x20 != 0 && let Some(noise) = noise.first() {
                response.header = *noise;
            }
            match login.receive(&response) {
                Ok(Next::Send(next)) => request = next,
                Ok(Next::Done(terms)) => {
                    prop_assert!(terms.parameters.first_burst_length <= terms.parameters.max_burst_length);
                    break;
                }
                Err(_) => break,
            }
        }
        prop_assert!(rounds <= MOST_ROUNDS + 1);
    }
}
