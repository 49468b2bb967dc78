#![allow(clippy::unwrap_used, clippy::expect_used)]

mod properties;

use super::*;
use crate::keys::{Number, OwnNumber};
use crate::parameters::TaskReporting;

/// Offers as a login's operational stage brings them, one per word.
fn negotiate(offers: &str) -> (Vec<String>, Negotiation) {
    let mut negotiation = Negotiation::new(Wishes::default());
    let answers = more(&mut negotiation, offers, Phase::Operational).unwrap();
    (answers, negotiation)
}

fn more(negotiation: &mut Negotiation, offers: &str, phase: Phase) -> Result<Vec<String>, NegotiationError> {
    let mut out = Writer::default();
    negotiation.answer(offers.replace(' ', "\0").as_bytes(), phase, &mut out)?;
    let text = String::from_utf8(out.finish()).unwrap();
    Ok(text.split_terminator('\0').map(str::to_owned).collect())
}

fn answers(offers: &str) -> String {
    negotiate(offers).0.join(" ")
}

fn parameters(offers: &str) -> Parameters {
    negotiate(offers).1.parameters()
}

#[test]
fn the_defaults_are_those_of_the_standard() {
    let defaults = Parameters::default();
    let expected = Parameters {
        header_digest: false,
        data_digest: false,
        max_recv_data_segment_length_initiator: 8192,
        max_recv_data_segment_length_target: 8192,
        max_burst_length: 262_144,
        first_burst_length: 65_536,
        initial_r2t: true,
        immediate_data: true,
        max_outstanding_r2t: 1,
        default_time2wait: 2,
        default_time2retain: 20,
        error_recovery_level: 0,
        max_connections: 1,
        data_pdu_in_order: true,
        data_sequence_in_order: true,
        task_reporting: TaskReporting::Rfc3720,
        protocol_level: 1,
    };
    assert_eq!(defaults, expected);
    assert_eq!(parameters(""), expected, "what is not offered keeps its default");
}

#[test]
fn what_open_iscsi_offers_is_answered_in_order() {
    let (answers, negotiation) = negotiate(
        "HeaderDigest=None,CRC32C DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 \
         IFMarker=No OFMarker=No \
         ErrorRecoveryLevel=0 InitialR2T=No ImmediateData=Yes MaxBurstLength=16776192 \
         FirstBurstLength=262144 \
         MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes \
         MaxRecvDataSegmentLength=262144",
    );
    let expected = "HeaderDigest=None DataDigest=None DefaultTime2Wait=2 DefaultTime2Retain=0 \
         IFMarker=No OFMarker=No \
         ErrorRecoveryLevel=0 InitialR2T=No ImmediateData=Yes MaxBurstLength=1048576 \
         FirstBurstLength=262144 \
         MaxOutstandingR2T=1 MaxConnections=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes";
    assert_eq!(answers.join(" "), expected);
    let parameters = negotiation.parameters();
    assert!(!parameters.initial_r2t && parameters.immediate_data && !parameters.header_digest);
    assert_eq!(parameters.max_recv_data_segment_length_initiator, 262_144);
    assert_eq!((parameters.max_burst_length, parameters.first_burst_length), (1_048_576, 262_144));
    assert_eq!(parameters.default_time2retain, 0);
}

#[test]
fn what_ipxe_offers_is_taken() {
    let (answers, negotiation) = negotiate(
        "HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=Yes ImmediateData=No \
         MaxRecvDataSegmentLength=8192 MaxBurstLength=262144 FirstBurstLength=65536 \
         DefaultTime2Wait=0 \
         DefaultTime2Retain=0 MaxOutstandingR2T=1 DataPDUInOrder=Yes DataSequenceInOrder=Yes \
         ErrorRecoveryLevel=0",
    );
    let expected = "HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=Yes \
         ImmediateData=No \
         MaxBurstLength=262144 FirstBurstLength=65536 DefaultTime2Wait=0 DefaultTime2Retain=0 \
         MaxOutstandingR2T=1 \
         DataPDUInOrder=Yes DataSequenceInOrder=Yes ErrorRecoveryLevel=0";
    assert_eq!(answers.join(" "), expected);
    let parameters = negotiation.parameters();
    assert!(parameters.initial_r2t && !parameters.immediate_data);
}

#[test]
fn a_digest_is_the_first_of_the_offer_that_we_know() {
    assert_eq!(
        answers("HeaderDigest=CRC32C,None DataDigest=None,CRC32C"),
        "HeaderDigest=CRC32C DataDigest=None"
    );
    assert_eq!(answers("HeaderDigest=Y-com.example.x,CRC32C"), "HeaderDigest=CRC32C");
    assert_eq!(answers("HeaderDigest=crc32c DataDigest=Y-a"), "HeaderDigest=Reject DataDigest=Reject");
    let parameters = parameters("HeaderDigest=CRC32C DataDigest=SHA");
    assert!(parameters.header_digest && !parameters.data_digest);
}

#[test]
fn booleans_follow_their_result_functions() {
    assert_eq!(answers("InitialR2T=Yes"), "InitialR2T=Yes");
    assert_eq!(answers("InitialR2T=No"), "InitialR2T=No");
    assert_eq!(answers("ImmediateData=No"), "ImmediateData=No");
    assert_eq!(
        answers("DataPDUInOrder=No DataSequenceInOrder=No"),
        "DataPDUInOrder=Yes DataSequenceInOrder=Yes"
    );
    assert_eq!(answers("ImmediateData=maybe InitialR2T=?"), "ImmediateData=Reject InitialR2T=Reject");
}

#[test]
fn numbers_outside_their_limits_are_rejected_and_keep_their_defaults() {
    let offers = "MaxBurstLength=511 FirstBurstLength=16777216 MaxConnections=0 \
         MaxOutstandingR2T=65536 \
         DefaultTime2Wait=3601 ErrorRecoveryLevel=3 iSCSIProtocolLevel=32";
    let (answers, negotiation) = negotiate(offers);
    assert!(answers.iter().all(|answer| answer.ends_with("=Reject")), "{answers:?}");
    assert_eq!(answers.len(), 7);
    assert_eq!(negotiation.parameters(), Parameters::default());
    assert_eq!(
        self::answers("MaxBurstLength=4096~8192"),
        "MaxBurstLength=Reject",
        "no key here takes a range"
    );
    assert_eq!(self::answers("MaxBurstLength=0x2000"), "MaxBurstLength=8192");
    for (offered, answered) in [(0, 0), (1, 1), (2, 2), (3, 2), (31, 2)] {
        let answer = self::answers(&format!("iSCSIProtocolLevel={offered}"));
        assert_eq!(answer, format!("iSCSIProtocolLevel={answered}"));
    }
    assert_eq!(
        self::answers("DefaultTime2Wait=40 DefaultTime2Retain=20"),
        "DefaultTime2Wait=40 DefaultTime2Retain=0"
    );
}

#[test]
fn a_declared_length_is_not_answered_unless_it_is_impossible() {
    let (answers, negotiation) = negotiate("MaxRecvDataSegmentLength=16777215");
    assert_eq!(answers, Vec::<String>::new());
    assert_eq!(negotiation.parameters().max_recv_data_segment_length_initiator, 16_777_215);
    for value in ["511", "0", "16777216", "-1", "x", "99999999999999999999"] {
        let (answers, negotiation) = negotiate(&format!("MaxRecvDataSegmentLength={value}"));
        assert_eq!(answers, ["MaxRecvDataSegmentLength=Reject"]);
        assert_eq!(negotiation.parameters().max_recv_data_segment_length_initiator, 8192);
    }
}

#[test]
fn our_own_length_is_declared_once() {
    let mut negotiation = Negotiation::new(Wishes::default());
    assert_eq!(negotiation.parameters().max_recv_data_segment_length_target, 8192);
    let (mut first, mut second) = (Writer::default(), Writer::default());
    negotiation.declare(&mut first);
    negotiation.declare(&mut second);
    assert_eq!(first.finish(), b"MaxRecvDataSegmentLength=262144\0");
    assert_eq!(second.finish(), b"");
    assert_eq!(negotiation.parameters().max_recv_data_segment_length_target, 262_144);
}

#[test]
fn the_first_burst_never_exceeds_a_burst_whatever_the_order() {
    for offers in ["FirstBurstLength=65536 MaxBurstLength=8192", "MaxBurstLength=8192 FirstBurstLength=65536"]
    {
        let (answers, negotiation) = negotiate(offers);
        assert!(answers.contains(&"FirstBurstLength=8192".to_owned()), "{answers:?}");
        assert_eq!(negotiation.parameters().first_burst_length, 8192);
    }
    assert_eq!(parameters("MaxBurstLength=4096").first_burst_length, 4096, "nor by its default");
}

#[test]
fn nothing_depends_on_keys_that_were_not_sent() {
    let parameters = parameters("InitialR2T=No");
    assert_eq!(parameters, Parameters { initial_r2t: false, ..Parameters::default() });
}

#[test]
fn unknown_keys_are_not_understood_and_markers_are_answered_as_ever() {
    let offers = "X-com.example.foo=1 Foo= IFMarker=Yes OFMarker=No IFMarkInt=2048~8192 \
         OFMarkInt=1 X#NodeArchitecture=me";
    let expected = "X-com.example.foo=NotUnderstood Foo=NotUnderstood IFMarker=No OFMarker=No \
         IFMarkInt=Reject \
         OFMarkInt=Reject";
    assert_eq!(answers(offers), expected);
}

#[test]
fn task_reporting_is_chosen_without_fast_abort() {
    assert_eq!(answers("TaskReporting=FastAbort,ResponseFence,RFC3720"), "TaskReporting=ResponseFence");
    let chosen = parameters("TaskReporting=ResponseFence,RFC3720").task_reporting;
    assert_eq!(chosen, TaskReporting::ResponseFence);
    assert_eq!(answers("TaskReporting=FastAbort"), "TaskReporting=Reject");
}

#[test]
fn in_a_discovery_session_some_keys_are_irrelevant_wherever_it_says_so() {
    let offers = "MaxBurstLength=4096 HeaderDigest=CRC32C ErrorRecoveryLevel=0 MaxConnections=4 \
         SessionType=Discovery";
    let expected = "MaxBurstLength=Irrelevant HeaderDigest=CRC32C ErrorRecoveryLevel=0 \
         MaxConnections=Irrelevant";
    assert_eq!(answers(offers), expected);
}

#[test]
fn a_declaration_may_be_repeated_in_the_same_words_and_nothing_else_may() {
    let mut negotiation = Negotiation::new(Wishes::default());
    let first = "InitiatorName=iqn.a:b MaxRecvDataSegmentLength=4096 InitialR2T=No X-a=1";
    more(&mut negotiation, first, Phase::Operational).unwrap();
    let again =
        more(&mut negotiation, "InitiatorName=iqn.a:b MaxRecvDataSegmentLength=4096", Phase::Operational);
    assert_eq!(again, Ok(Vec::new()));
    for offer in ["InitiatorName=iqn.a:c", "MaxRecvDataSegmentLength=8192", "InitialR2T=No", "X-a=1"] {
        let key = offer.split('=').next().unwrap().to_owned();
        let refused = more(&mut negotiation.clone(), offer, Phase::Operational);
        assert_eq!(refused, Err(NegotiationError::Repeated(key)), "{offer}");
    }
    let twice =
        more(&mut Negotiation::new(Wishes::default()), "InitialR2T=No InitialR2T=No", Phase::Operational);
    assert_eq!(twice, Err(NegotiationError::Repeated("InitialR2T".into())));
}

#[test]
fn answers_to_what_we_declared_are_not_answered() {
    let offers = "MaxRecvDataSegmentLength=NotUnderstood TargetAlias=NotUnderstood \
         TargetPortalGroupTag=Reject \
         MaxBurstLength=Irrelevant";
    let (answers, negotiation) = negotiate(offers);
    assert_eq!(answers, Vec::<String>::new());
    assert_eq!(negotiation.parameters(), Parameters::default());
}

#[test]
fn keys_have_their_place() {
    let place = |key: &str, phase| more(&mut Negotiation::new(Wishes::default()), &format!("{key}=1"), phase);
    let misplaced = |key: &str| Err(NegotiationError::Misplaced(key.to_owned()));
    for key in ["HeaderDigest", "MaxBurstLength", "MaxRecvDataSegmentLength", "SendTargets", "TargetAddress"]
    {
        assert_eq!(place(key, Phase::Security), misplaced(key));
    }
    for key in ["AuthMethod", "CHAP_A", "CHAP_R", "SendTargets", "TargetAlias", "TargetPortalGroupTag"] {
        assert_eq!(place(key, Phase::Operational), misplaced(key));
    }
    for key in ["InitiatorName", "TargetName", "SessionType", "InitiatorAlias", "X#NodeArchitecture"] {
        assert_eq!(place(key, Phase::Security), Ok(Vec::new()));
        assert_eq!(place(key, Phase::Operational), Ok(Vec::new()));
    }
    for key in ["AuthMethod", "HeaderDigest", "InitiatorName", "TargetAddress", "MaxBurstLength"] {
        assert_eq!(place(key, Phase::FullFeature), Ok(vec![format!("{key}=Reject")]));
    }
}

#[test]
fn a_value_that_is_no_text_or_too_long_is_rejected_for_its_key_alone() {
    let mut negotiation = Negotiation::new(Wishes::default());
    let mut out = Writer::default();
    let text = [b"InitiatorAlias=\xff\xfe\0MaxBurstLength=8192\0InitialR2T=".as_slice(), &[b'N'; 256], b"\0"]
        .concat();
    negotiation.answer(&text, Phase::Operational, &mut out).unwrap();
    assert_eq!(out.finish(), b"InitiatorAlias=Reject\0MaxBurstLength=8192\0InitialR2T=Reject\0");
}

#[test]
fn the_number_of_keys_is_bounded_over_all_texts() {
    let mut negotiation = Negotiation::new(Wishes::default());
    for number in 0..PAIRS_LIMIT {
        more(&mut negotiation, &format!("X-{number}=1"), Phase::Operational).unwrap();
    }
    assert_eq!(more(&mut negotiation, "X-last=1", Phase::Operational), Err(NegotiationError::TooManyKeys));
}

#[test]
fn no_wish_leads_out_of_a_keys_limits() {
    let wishes = Wishes { max_burst_length: 1, max_recv_data_segment_length: u32::MAX, ..Wishes::default() };
    let mut negotiation = Negotiation::new(wishes);
    let answers = more(&mut negotiation, "MaxBurstLength=4096", Phase::Operational);
    assert_eq!(answers, Ok(vec!["MaxBurstLength=512".to_owned()]));
    let mut out = Writer::default();
    negotiation.declare(&mut out);
    assert_eq!(out.finish(), b"MaxRecvDataSegmentLength=16777215\0");
}

#[test]
fn every_row_is_its_own_and_fits_its_default() {
    for (index, key) in keys::KEYS.iter().enumerate() {
        assert!(keys::KEYS.iter().skip(index + 1).all(|other| other.name != key.name), "{}", key.name);
        assert!(key.name.len() <= text::KEY_LIMIT);
        let wishes = Wishes::default();
        match key.kind {
            Kind::List(row) => {
                assert_eq!(row.result(key.default, &wishes), Some(key.default), "{}", key.name)
            }
            Kind::Boolean(_) => assert!(text::boolean(key.default).is_some(), "{}", key.name),
            Kind::Number(Number { least, most, .. }) | Kind::OwnNumber(OwnNumber { least, most, .. }) => {
                let default = text::number(key.default).unwrap();
                assert!((u64::from(least)..=u64::from(most)).contains(&default), "{}", key.name);
            }
            _ => assert_eq!(key.default, "", "{}", key.name),
        }
    }
}
