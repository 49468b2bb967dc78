//! Logins: those that real initiators make, and those that nobody should.
#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::chap::Algorithm;
use crate::encoding::encode_hex;
use crate::text::pairs;

/// One target for all, one with CHAP, one for other addresses.
struct House {
    admitted: Vec<NewSession>,
    full: bool,
}

impl Policy for House {
    fn portal_group_tag(&self) -> u16 {
        1
    }
    fn target(&self, name: &str) -> TargetAnswer {
        let found = |authentication| TargetAnswer::Found { alias: Some("disk0".into()), authentication };
        match name {
            "iqn.2026-01.org.example:open" => found(Authentication::None),
            "iqn.2026-01.org.example:chap" => found(Authentication::Chap),
            "iqn.2026-01.org.example:far" => TargetAnswer::Forbidden,
            _ => TargetAnswer::NotFound,
        }
    }
    fn discovery_authentication(&self) -> Authentication {
        Authentication::None
    }
    fn secret(&self, target: Option<&str>, user: &str) -> Option<Vec<u8>> {
        let knows = target == Some("iqn.2026-01.org.example:chap") && user == "anna";
        knows.then(|| b"annas long secret".to_vec())
    }
    fn admit(&mut self, session: &NewSession) -> Result<u16, LoginStatus> {
        if self.full {
            return Err(LoginStatus::OUT_OF_RESOURCES);
        }
        self.admitted.push(session.clone());
        Ok(77)
    }
}

struct Bench {
    login: Login,
    house: House,
}

const T: u8 = 0x80;
const C: u8 = 0x40;
/// Flags of a request in one stage on its way to the next.
const SECURITY_TO_OPERATIONAL: u8 = T | 0b01;
const SECURITY_TO_FULL: u8 = T | 0b11;
const OPERATIONAL: u8 = 0b01 << 2;
const OPERATIONAL_TO_FULL: u8 = T | OPERATIONAL | 0b11;

fn request(flags: u8, text: &str) -> LoginRequest<'_> {
    LoginRequest {
        transit: flags & T != 0,
        continue_: flags & C != 0,
        csg: flags >> 2 & 3,
        nsg: flags & 3,
        version_max: 0,
        version_min: 0,
        isid: [0x80, 1, 2, 3, 4, 5],
        tsih: 0,
        initiator_task_tag: 9,
        cid: 3,
        cmd_sn: 1000,
        exp_stat_sn: 0,
        data: text.as_bytes(),
    }
}

impl Bench {
    fn new() -> Self {
        Bench { login: Login::new(Wishes::default()), house: House { admitted: Vec::new(), full: false } }
    }

    fn say(&mut self, flags: u8, text: &str) -> Step {
        let text = text.replace(' ', "\0");
        self.send(&request(flags, &text))
    }

    fn send(&mut self, request: &LoginRequest<'_>) -> Step {
        self.login.request(request, &mut self.house, &mut |bytes| bytes.fill(0x42))
    }
}

/// The text of a response, pairs set apart by blanks.
fn answer(step: &Step) -> String {
    let (Step::Respond(response) | Step::Established(response, _) | Step::Refused(response, _)) = step;
    let found = pairs(&response.data).unwrap();
    found.iter().map(|pair| format!("{}={}", pair.key, pair.text().unwrap())).collect::<Vec<_>>().join(" ")
}

fn status(step: &Step) -> LoginStatus {
    match step {
        Step::Refused(response, _) => response.status,
        other => panic!("not refused: {other:?}"),
    }
}

fn established(step: Step) -> (LoginResponse, Established) {
    match step {
        Step::Established(response, established) => (response, *established),
        other => panic!("not established: {other:?}"),
    }
}

const NAMES: &str = "InitiatorName=iqn.1993-08.org.debian:01:abc TargetName=iqn.2026-01.org.example:open ";
const CHAP_NAMES: &str = "InitiatorName=iqn.1993-08.org.debian:01:abc TargetName=iqn.2026-01.org.example:chap ";

#[test]
fn one_request_is_enough() {
    let mut bench = Bench::new();
    let (response, established) = established(bench.say(OPERATIONAL_TO_FULL, NAMES));
    assert_eq!((response.transit, response.nsg, response.tsih), (true, 3, 77));
    assert_eq!((response.exp_cmd_sn, established.cmd_sn), (1000, 1000), "an immediate request takes no number");
    assert_eq!(established.stat_sn, response.stat_sn + 1);
    assert_eq!(established.session, bench.house.admitted[0]);
    assert_eq!(established.session.session_type, SessionType::Normal, "which is what a missing SessionType means");
    let defaults = Parameters { max_recv_data_segment_length_target: 262_144, ..Parameters::default() };
    assert_eq!(established.parameters, defaults, "what nobody offers keeps its default");
}

#[test]
fn open_iscsi_gets_what_it_asks_for() {
    let mut bench = Bench::new();
    let first = bench.say(SECURITY_TO_OPERATIONAL, &format!("{NAMES}InitiatorAlias=host SessionType=Normal AuthMethod=None"));
    assert_eq!(answer(&first), "TargetAlias=disk0 TargetPortalGroupTag=1 AuthMethod=None");
    assert!(matches!(&first, Step::Respond(response) if response.transit && response.nsg == 1));
    let second = bench.say(
        OPERATIONAL_TO_FULL,
        "HeaderDigest=CRC32C,None DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No \
         ErrorRecoveryLevel=0 InitialR2T=No ImmediateData=Yes MaxBurstLength=16776192 FirstBurstLength=262144 \
         MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxRecvDataSegmentLength=262144",
    );
    assert_eq!(
        answer(&second),
        "HeaderDigest=CRC32C DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 IFMarker=No OFMarker=No \
         ErrorRecoveryLevel=0 InitialR2T=No ImmediateData=Yes MaxBurstLength=1048576 FirstBurstLength=262144 \
         MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes MaxRecvDataSegmentLength=262144"
    );
    let (_, established) = established(second);
    assert_eq!(established.session.initiator_alias.as_deref(), Some("host"));
    assert!(established.parameters.header_digest && !established.parameters.initial_r2t);
}

#[test]
fn keys_may_come_in_any_legal_pieces() {
    let text = format!("{NAMES}SessionType=Normal HeaderDigest=CRC32C ").replace(' ', "\0");
    for cut in 1..text.len() {
        let mut bench = Bench::new();
        let (first, second) = text.split_at(cut);
        let middle = bench.send(&request(C | OPERATIONAL, first));
        assert!(matches!(&middle, Step::Respond(response) if !response.transit && response.data.is_empty()));
        let (_, established) = established(bench.send(&request(OPERATIONAL_TO_FULL, second)));
        assert!(established.parameters.header_digest, "cut at {cut}");
    }
}

#[test]
fn names_may_come_before_the_rest() {
    let mut bench = Bench::new();
    bench.say(0, NAMES);
    bench.say(SECURITY_TO_OPERATIONAL, "AuthMethod=CHAP,None");
    bench.say(OPERATIONAL, "InitialR2T=No");
    bench.say(OPERATIONAL, "DataDigest=CRC32C");
    let (_, established) = established(bench.say(OPERATIONAL_TO_FULL, ""));
    assert!(established.parameters.data_digest && !established.parameters.initial_r2t);
}

#[test]
fn names_are_compared_in_lower_case() {
    let mut bench = Bench::new();
    let text = "InitiatorName=iqn.X:Y TargetName=IQN.2026-01.org.EXAMPLE:open";
    let (_, established) = established(bench.say(OPERATIONAL_TO_FULL, text));
    assert_eq!(established.session.initiator_name, "iqn.x:y");
}

#[test]
fn discovery_needs_no_target() {
    let mut bench = Bench::new();
    let text = "InitiatorName=iqn.x:y SessionType=Discovery AuthMethod=None";
    let (response, established) = established(bench.say(SECURITY_TO_FULL, text));
    assert!(established.session.is_discovery() && established.session.target.is_none());
    assert_eq!(answer(&Step::Respond(response)), "AuthMethod=None", "a portal group tag is of no use here");
}

/// Answers a challenge as an initiator does.
fn chap_answer(challenge: &str, name: &str, secret: &[u8]) -> String {
    let value = |key: &str| challenge.split(' ').find_map(|pair| pair.strip_prefix(key)).unwrap().to_string();
    let algorithm = Algorithm::choose(&value("CHAP_A=")).unwrap();
    let bytes = crate::encoding::decode(&value("CHAP_C="), 1024).unwrap();
    assert!((16..=128).contains(&bytes.len()), "old initiators take no more");
    let response = algorithm.response(value("CHAP_I=").parse().unwrap(), secret, &bytes);
    format!("CHAP_N={name} CHAP_R={}", encode_hex(&response))
}

fn challenged(algorithms: &str) -> (Bench, String) {
    let mut bench = Bench::new();
    let first = bench.say(SECURITY_TO_OPERATIONAL, &format!("{CHAP_NAMES}AuthMethod=CHAP,None"));
    assert_eq!(answer(&first), "TargetAlias=disk0 TargetPortalGroupTag=1 AuthMethod=CHAP");
    assert!(matches!(&first, Step::Respond(response) if !response.transit), "not before the proof");
    let challenge = answer(&bench.say(0, &format!("CHAP_A={algorithms}")));
    (bench, challenge)
}

#[test]
fn chap_lets_in_who_knows_the_secret() {
    for (algorithms, chosen) in [("5", "CHAP_A=5"), ("7,5", "CHAP_A=7"), ("8,6,5,7", "CHAP_A=5")] {
        let (mut bench, challenge) = challenged(algorithms);
        assert!(challenge.starts_with(chosen), "{challenge}");
        let right = chap_answer(&challenge, "anna", b"annas long secret");
        assert!(matches!(bench.say(SECURITY_TO_OPERATIONAL, &right), Step::Respond(response) if response.transit));
        let (_, established) = established(bench.say(OPERATIONAL_TO_FULL, ""));
        assert_eq!(established.session.authenticated_user.as_deref(), Some("anna"));
    }
}

#[test]
fn method_and_algorithm_may_come_together() {
    let mut bench = Bench::new();
    let step = bench.say(0, &format!("{CHAP_NAMES}AuthMethod=CHAP CHAP_A=5"));
    let right = chap_answer(&answer(&step), "anna", b"annas long secret");
    established(bench.say(SECURITY_TO_FULL, &right));
}

#[test]
fn chap_keeps_out_everybody_else_and_does_not_say_why() {
    let wrongs: [(&str, &[u8]); 5] =
        [("anna", b"wrong"), ("ann", b"annas long secret"), ("annax", b"annas long secret"), ("", b"x"), ("bert", b"")];
    for (name, secret) in wrongs {
        let (mut bench, challenge) = challenged("5");
        let step = bench.say(SECURITY_TO_OPERATIONAL, &chap_answer(&challenge, name, secret));
        assert_eq!(status(&step), LoginStatus::AUTHENTICATION_FAILURE, "{name}");
        assert_eq!(answer(&step), "");
    }
    for text in ["CHAP_N=anna", "CHAP_R=0x00", "CHAP_N=anna CHAP_R=0x", "CHAP_N=anna CHAP_R=zz", "AuthMethod=None"] {
        let (mut bench, _) = challenged("5");
        assert_eq!(status(&bench.say(SECURITY_TO_OPERATIONAL, text)), LoginStatus::AUTHENTICATION_FAILURE, "{text}");
    }
}

#[test]
fn a_challenge_is_never_answered_for_an_initiator() {
    let (mut bench, challenge) = challenged("5");
    let right = chap_answer(&challenge, "anna", b"annas long secret");
    let reflected = format!("{right} CHAP_I=66 CHAP_C=0x{}", "42".repeat(16));
    assert_eq!(status(&bench.say(SECURITY_TO_OPERATIONAL, &reflected)), LoginStatus::AUTHENTICATION_FAILURE);
}

#[test]
fn chap_can_not_be_gone_round() {
    let attempts: [(u8, &str); 6] = [
        (OPERATIONAL_TO_FULL, ""),
        (SECURITY_TO_FULL, ""),
        (SECURITY_TO_OPERATIONAL, ""),
        (SECURITY_TO_FULL, "AuthMethod=None"),
        (SECURITY_TO_FULL, "AuthMethod=KRB5,SRP"),
        (SECURITY_TO_FULL, "AuthMethod=CHAP CHAP_A=6"),
    ];
    for (flags, text) in attempts {
        let mut bench = Bench::new();
        let step = bench.say(flags, &format!("{CHAP_NAMES}{text}"));
        assert_eq!(status(&step), LoginStatus::AUTHENTICATION_FAILURE, "{text}");
        assert!(bench.house.admitted.is_empty());
    }
    let (mut bench, _) = challenged("5");
    assert!(matches!(bench.say(SECURITY_TO_FULL, ""), Step::Respond(response) if !response.transit));
    assert_eq!(status(&bench.say(OPERATIONAL_TO_FULL, "")), LoginStatus::INITIATOR_ERROR);
}

#[test]
fn refusals_have_the_status_of_the_standard() {
    let cases = [
        ("InitiatorName=iqn.x:y TargetName=iqn.2026-01.org.example:none", LoginStatus::NOT_FOUND),
        ("InitiatorName=iqn.x:y TargetName=target0", LoginStatus::NOT_FOUND),
        ("InitiatorName=iqn.x:y TargetName=iqn.2026-01.org.example:far", LoginStatus::AUTHORIZATION_FAILURE),
        ("TargetName=iqn.2026-01.org.example:open", LoginStatus::MISSING_PARAMETER),
        ("InitiatorName=iqn.x:y", LoginStatus::MISSING_PARAMETER),
        ("InitiatorName=me TargetName=iqn.2026-01.org.example:open", LoginStatus::INITIATOR_ERROR),
        ("InitiatorName=iqn.x:y SessionType=Other", LoginStatus::SESSION_TYPE_NOT_SUPPORTED),
        ("nonsense", LoginStatus::INITIATOR_ERROR),
    ];
    for (text, expected) in cases {
        assert_eq!(status(&Bench::new().say(OPERATIONAL_TO_FULL, text)), expected, "{text}");
    }
    let with = |adjust: fn(&mut LoginRequest<'_>)| {
        let text = NAMES.replace(' ', "\0");
        let mut request = request(OPERATIONAL_TO_FULL, &text);
        adjust(&mut request);
        status(&Bench::new().send(&request))
    };
    assert_eq!(with(|request| request.version_min = 1), LoginStatus::UNSUPPORTED_VERSION);
    assert_eq!(with(|request| request.tsih = 5), LoginStatus::SESSION_DOES_NOT_EXIST);
    assert_eq!(with(|request| request.csg = 3), LoginStatus::INITIATOR_ERROR);
    assert_eq!(with(|request| request.nsg = 1), LoginStatus::INITIATOR_ERROR);
    assert_eq!(with(|request| request.continue_ = true), LoginStatus::INITIATOR_ERROR);
    let mut full = Bench::new();
    full.house.full = true;
    assert_eq!(status(&full.say(OPERATIONAL_TO_FULL, NAMES)), LoginStatus::OUT_OF_RESOURCES);
}

#[test]
fn who_it_is_can_not_change_on_the_way() {
    for text in ["InitiatorName=iqn.other:one", "TargetName=iqn.2026-01.org.example:chap", "SessionType=Discovery"] {
        let mut bench = Bench::new();
        bench.say(0, &format!("{NAMES}SessionType=Normal"));
        assert_eq!(status(&bench.say(OPERATIONAL_TO_FULL & !OPERATIONAL, text)), LoginStatus::INITIATOR_ERROR, "{text}");
    }
    let mut bench = Bench::new();
    bench.say(0, NAMES);
    let mut other = request(SECURITY_TO_FULL, "");
    other.isid = [0; 6];
    assert_eq!(status(&bench.send(&other)), LoginStatus::INITIATOR_ERROR);
    let mut bench = Bench::new();
    bench.say(OPERATIONAL, NAMES);
    assert_eq!(status(&bench.say(SECURITY_TO_FULL, "")), LoginStatus::INITIATOR_ERROR, "there is no way back");
}

#[test]
fn the_same_again_does_no_harm() {
    let mut bench = Bench::new();
    bench.say(SECURITY_TO_OPERATIONAL, &format!("{NAMES}AuthMethod=None"));
    established(bench.say(OPERATIONAL_TO_FULL, NAMES));
    let mut bench = Bench::new();
    bench.say(OPERATIONAL, &format!("{NAMES}MaxBurstLength=4096"));
    assert_eq!(status(&bench.say(OPERATIONAL_TO_FULL, "MaxBurstLength=8192")), LoginStatus::INITIATOR_ERROR);
}

#[test]
fn a_login_ends() {
    let mut bench = Bench::new();
    bench.say(OPERATIONAL, NAMES);
    let requests = (1..1000).take_while(|_| matches!(bench.say(OPERATIONAL, ""), Step::Respond(_))).count();
    assert!(requests < 100, "{requests} requests");
    let mut bench = Bench::new();
    let piece = format!("X-{}=1 ", "a".repeat(50)).repeat(140);
    let requests = (1..1000).take_while(|_| matches!(bench.say(C | OPERATIONAL, &piece), Step::Respond(_))).count();
    assert!(requests < 12, "{requests} requests of continued text");
}

#[test]
fn an_answer_longer_than_a_response_is_continued() {
    let mut bench = Bench::new();
    let offers: String = (0..250).map(|number| format!("X-org.example.{number:030}=1 ")).collect();
    let (first, second) = offers.split_at(offers.len() / 2);
    bench.say(C | OPERATIONAL, &format!("{NAMES}{first}"));
    let mut step = bench.say(OPERATIONAL_TO_FULL, second);
    let mut together = String::new();
    while matches!(&step, Step::Respond(response) if response.continue_) {
        assert!(matches!(&step, Step::Respond(response) if !response.transit && response.data.len() <= 8192));
        together += &answer(&step);
        step = bench.say(OPERATIONAL, "");
    }
    together += &answer(&step);
    assert_eq!(together.matches("NotUnderstood").count(), 250);
    established(bench.say(OPERATIONAL_TO_FULL, ""));
}

#[test]
fn reasons_are_fit_for_a_log() {
    let step = Bench::new().say(OPERATIONAL_TO_FULL, "InitiatorName=iqn.x:y TargetName=iqn.\x1b[2Jx\n");
    let Step::Refused(_, reason) = step else { panic!("not refused") };
    assert!(!reason.chars().any(char::is_control), "{reason:?}");
    assert!(reason.starts_with("iqn.x:y: ") && reason.contains("no such target"), "{reason}");
}

proptest! {
    #[test]
    fn no_dialogue_does_harm(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
        fuzz(&data);
    }

    #[test]
    fn no_dialogue_of_known_words_does_harm(
        words in proptest::collection::vec((any::<u8>(), proptest::sample::select(WORDS.to_vec())), 0..40)
    ) {
        let mut data = Vec::new();
        for (flags, word) in words {
            data.extend([flags & 0xc7, word.len() as u8 + 1]);
            data.extend(word.bytes().chain([0]));
        }
        fuzz(&data);
    }
}

const WORDS: [&str; 14] = [
    "InitiatorName=iqn.x:y",
    "TargetName=iqn.2026-01.org.example:secret",
    "TargetName=iqn.2026-01.org.example:disk",
    "SessionType=Discovery",
    "AuthMethod=CHAP,None",
    "AuthMethod=None",
    "CHAP_A=5,7",
    "CHAP_N=anna",
    "CHAP_R=0x0102030405060708090a0b0c0d0e0f10",
    "CHAP_C=0x01",
    "HeaderDigest=CRC32C",
    "MaxBurstLength=4096",
    "X-a=b",
    "TargetPortalGroupTag=1",
];
