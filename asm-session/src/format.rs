//! How an application's values become bytes.

use std::{
    any::{Any, type_name},
    fmt::Debug,
    sync::Arc,
};

use asm_core::{Error, ErrorKind};
use bytes::Bytes;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor},
};

use crate::ValueError;

/// How values become bytes: any value that serde knows.
///
/// Each stored value carries the [`tag`](Self::tag) of its format, so a format is changed on a live
/// system with nothing lost: one is written, all that are known are read, and a value that nobody
/// changes stays as it is.
///
/// What a format says about a value that it cannot read is shown to nobody, because parsers like to
/// quote what they read.
pub trait Format: Any + Debug + Send + Sync {
    /// What marks its values in a record. It never changes: values of that tag must be read for
    /// ever. Those of this crate are lowercase letters; two formats of one tag are refused.
    fn tag(&self) -> u8;

    /// Appends a value's bytes.
    ///
    /// # Errors
    /// When the format has no form for it, or could not read it back.
    fn encode(
        &self,
        value: &dyn erased_serde::Serialize,
        out: &mut Vec<u8>,
    ) -> erased_serde::Result<()>;

    /// Lets `visit` read one value, which must be all of `bytes`.
    ///
    /// It is given hostile bytes, and answers them with an error whose cost is bounded: no panic,
    /// no exhausted stack, no memory in proportion to a length that is only claimed.
    ///
    /// # Errors
    /// When they are no value of this format, or not of the type that `visit` wants.
    fn decode<'de>(&self, bytes: &'de [u8], visit: &mut Visit<'_, 'de>)
    -> erased_serde::Result<()>;
}

/// What [`Format::decode`] hands its deserializer to. It is called once.
pub type Visit<'a, 'de> =
    dyn FnMut(&mut dyn erased_serde::Deserializer<'de>) -> erased_serde::Result<()> + 'a;

/// How deep a value may nest, in both formats of this crate.
const DEEPEST: usize = 127;

/// Values as JSON: the default. Readable in every tool; keys of maps must be texts or numbers.
///
/// A value may nest 127 levels deep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Format for Json {
    fn tag(&self) -> u8 {
        b'j'
    }

    fn encode(
        &self,
        value: &dyn erased_serde::Serialize,
        out: &mut Vec<u8>,
    ) -> erased_serde::Result<()> {
        let start = out.len();
        serde_json::to_writer(&mut *out, value).map_err(encoding)?;
        let json = &out[start..];
        let opening = |byte: &&u8| matches!(byte, b'[' | b'{');
        if json.iter().filter(opening).count() > DEEPEST {
            serde_json::from_slice::<Anything>(json).map_err(encoding)?;
        }
        Ok(())
    }

    fn decode<'de>(
        &self,
        bytes: &'de [u8],
        visit: &mut Visit<'_, 'de>,
    ) -> erased_serde::Result<()> {
        // Stops by itself at the depth above.
        let mut from = serde_json::Deserializer::from_slice(bytes);
        visit(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut from))?;
        from.end().map_err(decoding)
    }
}

/// Values as MessagePack: smaller and faster than JSON, and readable in fewer tools.
///
/// Fields of structs are stored by name, so that they can be added and reordered. A value may nest
/// 127 levels deep.
#[cfg(feature = "msgpack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessagePack;

#[cfg(feature = "msgpack")]
impl Format for MessagePack {
    fn tag(&self) -> u8 {
        b'm'
    }

    fn encode(
        &self,
        value: &dyn erased_serde::Serialize,
        out: &mut Vec<u8>,
    ) -> erased_serde::Result<()> {
        let start = out.len();
        let mut to = rmp_serde::Serializer::new(&mut *out).with_struct_map();
        value.serialize(&mut to).map_err(encoding)?;
        let packed = &out[start..];
        let opening = |byte: &&u8| matches!(byte, 0x80..=0x9f | 0xdc..=0xdf);
        if packed.iter().filter(opening).count() > DEEPEST {
            Anything::deserialize(&mut unpacker(packed)).map_err(encoding)?;
        }
        Ok(())
    }

    fn decode<'de>(
        &self,
        bytes: &'de [u8],
        visit: &mut Visit<'_, 'de>,
    ) -> erased_serde::Result<()> {
        let mut from = unpacker(bytes);
        visit(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut from))?;
        match from.position() {
            read if read == bytes.len() as u64 => Ok(()),
            _ => Err(decoding("something follows the value")),
        }
    }
}

#[cfg(feature = "msgpack")]
fn unpacker(
    bytes: &[u8],
) -> rmp_serde::Deserializer<rmp_serde::decode::ReadReader<std::io::Cursor<&[u8]>>> {
    let mut from = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
    from.set_max_depth(DEEPEST + 1);
    from
}

/// The format that is written, and all that are read.
#[derive(Clone, Debug)]
pub(crate) struct Formats {
    write: Arc<dyn Format>,
    read: Arc<[Arc<dyn Format>]>,
}

impl Default for Formats {
    fn default() -> Self {
        Self::new(Arc::new(Json), [])
    }
}

impl Formats {
    /// Writes `write`; reads it, `others`, and those of this crate.
    pub(crate) fn new(
        write: Arc<dyn Format>,
        others: impl IntoIterator<Item = Arc<dyn Format>>,
    ) -> Self {
        let ours: [Arc<dyn Format>; _] = [
            Arc::new(Json),
            #[cfg(feature = "msgpack")]
            Arc::new(MessagePack),
        ];
        let read = [Arc::clone(&write)].into_iter().chain(others).chain(ours);
        Self {
            write,
            read: read.collect(),
        }
    }

    /// # Errors
    /// `Invalid` when two formats have one tag: what the one wrote would be read as the other's.
    pub(crate) fn check(&self) -> asm_core::Result<()> {
        let id = |format: &Arc<dyn Format>| (**format).type_id();
        let clash =
            |(a, b): (&Arc<dyn Format>, &Arc<dyn Format>)| a.tag() == b.tag() && id(a) != id(b);
        let mut pairs = self
            .read
            .iter()
            .flat_map(|a| self.read.iter().map(move |b| (a, b)));
        if pairs.any(clash) {
            return Err(Error::new(ErrorKind::Invalid, "two formats have one tag"));
        }
        Ok(())
    }

    /// A value's bytes, its tag included.
    pub(crate) fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Bytes, ValueError> {
        let mut out = vec![self.write.tag()];
        match self.write.encode(&value, &mut out) {
            Ok(()) => Ok(out.into()),
            Err(_) => Err(no_form::<T>(&*self.write)),
        }
    }

    /// The value of these bytes.
    pub(crate) fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ValueError> {
        let (format, bytes) = self.format(bytes)?;
        let mut value = None;
        let read = format.decode(bytes, &mut |from| {
            value = Some(erased_serde::deserialize(from)?);
            Ok(())
        });
        match (read, value) {
            (Ok(()), Some(value)) => Ok(value),
            _ => Err(not_a::<T>(format)),
        }
    }

    fn format<'a>(&self, bytes: &'a [u8]) -> Result<(&dyn Format, &'a [u8]), ValueError> {
        let known = |tag: &u8| self.read.iter().find(|format| format.tag() == *tag);
        let (tag, bytes) = bytes
            .split_first()
            .ok_or_else(|| ValueError::new("it has no format"))?;
        let format = known(tag).ok_or_else(|| ValueError::new("its format is not known here"))?;
        Ok((&**format, bytes))
    }
}

impl ValueError {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

fn no_form<T: ?Sized>(format: &dyn Format) -> ValueError {
    ValueError::new(format!(
        "{format:?} has no form for this {}",
        type_name::<T>()
    ))
}

fn not_a<T>(format: &dyn Format) -> ValueError {
    ValueError::new(format!(
        "it is not the {format:?} of a {}",
        type_name::<T>()
    ))
}

fn encoding(why: impl std::fmt::Display) -> erased_serde::Error {
    serde::ser::Error::custom(why)
}

fn decoding(why: impl std::fmt::Display) -> erased_serde::Error {
    serde::de::Error::custom(why)
}

/// Reads any value by going all the way down, which fails where a typed read would find the value
/// too deep.
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_none<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Self, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self, A::Error> {
        while from.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self, A::Error> {
        while from.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    /// What is stored names its format for ever.
    #[test]
    fn a_format_is_named_as_it_always_was() {
        assert_eq!(Json.tag(), b'j');
        #[cfg(feature = "msgpack")]
        assert_eq!(MessagePack.tag(), b'm');
    }

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Cart {
        items: BTreeMap<String, Vec<(u32, i64)>>,
        note: Option<String>,
        paid: bool,
    }

    fn cart() -> Cart {
        Cart {
            items: BTreeMap::from([("é\0".into(), vec![(1, -2), (u32::MAX, i64::MIN)])]),
            note: Some("4111-1111".into()),
            paid: false,
        }
    }

    fn all() -> Vec<Formats> {
        let formats: [Arc<dyn Format>; _] = [
            Arc::new(Json),
            #[cfg(feature = "msgpack")]
            Arc::new(MessagePack),
            Arc::new(Shout),
        ];
        formats
            .map(|format| Formats::new(format, [Arc::new(Shout) as _]))
            .into()
    }

    /// A format of an application: JSON with a mark.
    #[derive(Debug)]
    struct Shout;

    impl Format for Shout {
        fn tag(&self) -> u8 {
            b'!'
        }

        fn encode(
            &self,
            value: &dyn erased_serde::Serialize,
            out: &mut Vec<u8>,
        ) -> erased_serde::Result<()> {
            out.push(b'!');
            Json.encode(value, out)
        }

        fn decode<'de>(
            &self,
            bytes: &'de [u8],
            visit: &mut Visit<'_, 'de>,
        ) -> erased_serde::Result<()> {
            let json = bytes
                .strip_prefix(b"!")
                .ok_or_else(|| decoding("no mark"))?;
            Json.decode(json, visit)
        }
    }

    #[test]
    fn what_one_format_writes_every_reader_of_it_reads() {
        for writer in all() {
            let bytes = writer.encode(&cart()).unwrap();
            for reader in all() {
                assert_eq!(reader.decode::<Cart>(&bytes).unwrap(), cart());
            }
        }
    }

    #[test]
    fn two_formats_of_one_tag_are_refused() {
        #[derive(Debug)]
        struct Impostor(u8);

        impl Format for Impostor {
            fn tag(&self) -> u8 {
                self.0
            }

            fn encode(
                &self,
                value: &dyn erased_serde::Serialize,
                out: &mut Vec<u8>,
            ) -> erased_serde::Result<()> {
                Json.encode(value, out)
            }

            fn decode<'de>(
                &self,
                bytes: &'de [u8],
                visit: &mut Visit<'_, 'de>,
            ) -> erased_serde::Result<()> {
                Json.decode(bytes, visit)
            }
        }

        let other = |tag| [Arc::new(Impostor(tag)) as _];
        for formats in all() {
            formats.check().unwrap();
        }
        assert!(Formats::new(Arc::new(Json), other(b'?')).check().is_ok());
        assert!(Formats::new(Arc::new(Impostor(b'?')), []).check().is_ok());
        assert!(Formats::new(Arc::new(Json), other(b'j')).check().is_err());
        assert!(Formats::new(Arc::new(Impostor(b'j')), []).check().is_err());
        assert!(Formats::new(Arc::new(Shout), other(b'!')).check().is_err());
    }

    #[test]
    fn values_without_a_size_are_values() {
        let formats = Formats::default();
        assert_eq!(&formats.encode("text").unwrap()[..], b"j\"text\"");
        assert_eq!(&formats.encode(&[1, 2][..]).unwrap()[..], b"j[1,2]");
    }

    #[test]
    fn a_value_of_another_type_or_cut_or_with_a_rest_is_refused_and_not_shown() {
        for formats in all() {
            let bytes = formats.encode(&cart()).unwrap();
            let longer = [&bytes, &b"0"[..]].concat();
            let error = formats.decode::<Vec<String>>(&bytes).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("4111"), "{shown}");
            assert!(shown.contains("Vec<"), "{shown}");
            assert!(formats.decode::<Cart>(&longer).is_err());
            for end in 0..bytes.len() {
                assert!(
                    formats.decode::<Cart>(&bytes[..end]).is_err(),
                    "cut to {end}"
                );
            }
        }
    }

    #[test]
    fn a_format_that_is_not_known_is_refused() {
        let error = Formats::default().decode::<u8>(b"?1").unwrap_err();
        assert_eq!(error.to_string(), "its format is not known here");
        assert!(Formats::default().decode::<u8>(b"").is_err());
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let by_list = BTreeMap::from([(vec![1, 2], 3)]);
        let error = Formats::default().encode(&by_list).unwrap_err();
        assert!(
            error.to_string().starts_with("Json has no form for this "),
            "{error}"
        );
    }

    #[test]
    fn what_could_not_be_read_back_is_refused_when_it_is_written() {
        for formats in all() {
            let deepest = nested(DEEPEST);
            let bytes = formats.encode(&deepest).unwrap();
            assert_eq!(formats.decode::<Value>(&bytes).unwrap(), deepest);
            assert!(formats.encode(&nested(DEEPEST + 1)).is_err());
            // Wide is not deep.
            let wide = json!({ "brackets": "[".repeat(1000), "lists": vec![json!([]); 1000] });
            let bytes = formats.encode(&wide).unwrap();
            assert_eq!(formats.decode::<Value>(&bytes).unwrap(), wide);
        }
    }

    #[test]
    fn hostile_depth_ends_in_an_error() {
        let deep = |opening: u8| [&[opening][..], &vec![opening; 1_000_000]].concat();
        for (tag, opening) in [(b'j', b'['), (b'm', 0x91), (b'm', 0x81)] {
            let mut bytes = deep(opening);
            bytes[0] = tag;
            for formats in all() {
                assert!(formats.decode::<Value>(&bytes).is_err());
            }
        }
    }

    #[test]
    fn lying_lengths_end_in_an_error() {
        // Of a list, a map, a text, bytes: four billion.
        for marker in [0xdd, 0xdf, 0xdb, 0xc6] {
            let bytes = [b'm', marker, 0xff, 0xff, 0xff, 0xff, 0x00];
            for formats in all() {
                assert!(formats.decode::<Value>(&bytes).is_err());
                assert!(formats.decode::<Vec<u64>>(&bytes).is_err());
                assert!(formats.decode::<String>(&bytes).is_err());
            }
        }
    }

    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!([]), |inner, _| json!([inner]))
    }
}
