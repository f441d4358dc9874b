//! What a node holds, one after the other.

use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, IntoDeserializer as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{Error, NodeDeserializer, Path};
use crate::yaml::Position;
use crate::yaml::node::{Entry, Node};

/// The members of a map. Those that a struct does not know are told, and left out.
pub(super) struct Entries<'p, 'a> {
    parent: &'p NodeDeserializer<'a>,
    fields: Option<&'static [&'static str]>,
    rest: std::slice::Iter<'a, Entry>,
    value: Option<&'a Entry>,
}

impl<'p, 'a> Entries<'p, 'a> {
    pub(super) fn new(
        parent: &'p NodeDeserializer<'a>,
        entries: &'a [Entry],
        fields: Option<&'static [&'static str]>,
    ) -> Self {
        Self {
            parent,
            fields,
            rest: entries.iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        for entry in self.rest.by_ref() {
            if let Some(fields) = self
                .fields
                .filter(|fields| !fields.contains(&entry.key.as_str()))
            {
                let parent = &self.parent.path;
                self.parent.context.unknown(parent, fields, entry);
                continue;
            }
            self.value = Some(entry);
            return seed.deserialize(StrDeserializer::new(&entry.key)).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        let entry = self
            .value
            .take()
            .ok_or_else(|| Error::custom("a value without a key"))?;
        let value = NodeDeserializer {
            node: &entry.value,
            context: self.parent.context,
            path: Path::Key(&self.parent.path, &entry.key),
        };
        value.locate(seed.deserialize(value))
    }
}

/// The elements of a list, or the one value that stands in its place.
pub(super) struct Elements<'p, 'a> {
    parent: &'p NodeDeserializer<'a>,
    nodes: std::vec::IntoIter<(usize, &'a Node)>,
    single: bool,
}

impl<'p, 'a> Elements<'p, 'a> {
    pub(super) fn new(
        parent: &'p NodeDeserializer<'a>,
        nodes: Vec<(usize, &'a Node)>,
        single: bool,
    ) -> Self {
        Self {
            parent,
            nodes: nodes.into_iter(),
            single,
        }
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some((at, node)) = self.nodes.next() else {
            return Ok(None);
        };
        let path = if self.single {
            self.parent.path
        } else {
            Path::Index(&self.parent.path, at)
        };
        seed.deserialize(NodeDeserializer {
            node,
            context: self.parent.context,
            path,
        })
        .map(Some)
    }
}

/// Path, line, column, the text if it is not the value, and the value, one after the other.
pub(super) struct LocatedParts<'a> {
    node: NodeDeserializer<'a>,
    next: usize,
}

impl<'a> LocatedParts<'a> {
    pub(super) fn new(node: NodeDeserializer<'a>) -> Self {
        Self { node, next: 0 }
    }
}

impl<'de> SeqAccess<'de> for LocatedParts<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Position { line, column } = self.node.node.position;
        let number = |number: usize| -> UsizeDeserializer<Error> { number.into_deserializer() };
        self.next += 1;
        match self.next {
            1 => seed.deserialize(StrDeserializer::new(&self.node.path.to_string())),
            2 => seed.deserialize(number(line)),
            3 => seed.deserialize(number(column)),
            4 => {
                let written = self.node.expanded().map_or("", |(written, _)| written);
                seed.deserialize(StrDeserializer::new(written))
            }
            _ => seed.deserialize(self.node),
        }
        .map(Some)
    }
}

/// The name of a variant that holds nothing.
pub(super) struct Variant<'a>(pub(super) &'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(StrDeserializer::new(self.0))?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(Error::custom(format_args!(
            "`{}` needs more than its name",
            self.0
        )))
    }
}
