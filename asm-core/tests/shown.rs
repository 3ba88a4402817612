//! What is shown of a value in logs and errors: all that helps an operator, and no secret.

use asm_core::{
    CodecName, Cursor, Error, ErrorKind, Fence, FieldName, Key, Label, OpId, Proof, Proofs,
    Redacted, Subscribed, Version,
};
use bytes::Bytes;

#[test]
fn what_helps_an_operator_shows() {
    let label = Label::new("GET /cart");
    assert_eq!(format!("{label:?}"), r#""GET /cart""#);
    let codec = CodecName::new("lz4").expect("a good name");
    assert_eq!(format!("{codec} {codec:?}"), r#"lz4 "lz4""#);
    assert_eq!(Fence::new(7).to_string(), "7");
    let version = Version {
        number: 3,
        op: OpId::from_bytes([1; 8]),
    };
    assert_eq!(version.to_string(), "3");
    let key = Key::from_bytes(0x0123_4567_89ab_cdef_0011_2233_4455_6677_u128.to_be_bytes());
    assert_eq!(key.to_string(), "0123456789abcdef0011223344556677");
    assert_eq!(Key::from_hex(&key.to_string()), Some(key));
    assert_eq!(format!("{:?}", Subscribed::Missing), "Missing");
}

#[test]
fn an_error_shows_where_it_was_and_why() {
    let error = Error::new(ErrorKind::Timeout, "no answer");
    assert_eq!(error.to_string(), "timed out: no answer");
    let error = error.during("save").by("redis").because("port closed");
    assert_eq!(error.to_string(), "redis: save: timed out: no answer");
    let shown = format!("{error:?}");
    for part in ["Timeout", "save", "redis", "no answer", "port closed"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn what_is_carried_does_not_show() {
    let name = FieldName::new("card").expect("a good name");
    assert_eq!(format!("{name:?}"), "FieldName(..)");
    assert_eq!(format!("{:?}", Redacted::from("4111")), "4 bytes");
    let cursor = Cursor(Bytes::from_static(b"4111"));
    assert_eq!(format!("{cursor:?}"), "Cursor(4 bytes)");
}

/// Differences in several bytes do not cancel each other out.
#[test]
fn a_proof_is_itself_and_no_other() {
    let zeros = Proof::from_bytes([0; 16]);
    let mut others: Vec<[u8; 16]> = vec![[1; 16], [u8::MAX; 16]];
    for place in 0..16 {
        let mut one = [0; 16];
        one[place] = 0x80;
        others.push(one);
        one[(place + 1) % 16] = 0x80;
        others.push(one);
    }
    for other in others {
        let other = Proof::from_bytes(other);
        assert_ne!(other, zeros);
        let proofs = |current, pending| Proofs { current, pending };
        assert!(!proofs(zeros, None).accept(&other));
        assert!(proofs(zeros, Some(other)).accept(&other));
        assert!(proofs(zeros, Some(other)).accept(&zeros));
        assert!(proofs(other, None).accept(&other));
    }
}
