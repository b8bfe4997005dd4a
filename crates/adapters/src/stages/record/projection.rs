//! Finding the values at some paths in one pass over a line, and checking the whole line on the way.
//!
//! Where a key occurs twice in an object, the last one counts, as with most readers of JSON.

use std::borrow::Cow;

use super::path::{Path, Step};
use super::raw;
use super::scan::{Malformed, Scan};

/// Which values are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Projection {
    root: Node,
    wanted: Vec<Path>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    slot: Option<usize>,
    keys: Vec<(Box<[u8]>, Node)>,
    items: Vec<(usize, Node)>,
}

/// Where the wanted values of one record lie. Kept from record to record, so that nothing is allocated for one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    places: Vec<Place>,
}

/// From, to; nothing where they are the same.
type Place = (usize, usize);

impl Slots {
    /// The value of this slot, as it stands in the line; none: the record has no such value.
    #[inline]
    pub(crate) fn get<'a>(&self, line: &'a [u8], slot: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.places.get(slot)?;
        line.get(start..end).filter(|raw| !raw.is_empty())
    }

    /// Where in the line it lies.
    pub(crate) fn place(&self, slot: usize) -> Option<(usize, usize)> {
        self.places
            .get(slot)
            .copied()
            .filter(|(start, end)| start < end)
    }
}

/// A member of a record itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// Its key, with quotes, as it stands.
    pub(crate) key: &'a [u8],
    /// Its value, as it stands.
    pub(crate) value: &'a [u8],
}

impl<'a> Member<'a> {
    /// Its name.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        raw::text(self.key).unwrap_or_default()
    }
}

impl Projection {
    /// The slot of this path; the same path has the same.
    pub(crate) fn want(&mut self, path: &Path) -> usize {
        if let Some(slot) = self.wanted.iter().position(|p| p.steps() == path.steps()) {
            return slot;
        }
        let slot = self.wanted.len();
        self.wanted.push(path.clone());
        self.root.place(path.steps(), slot);
        slot
    }

    /// The path of a slot.
    pub(crate) fn path(&self, slot: usize) -> Option<&Path> {
        self.wanted.get(slot)
    }

    /// Room for the places of one record.
    pub(crate) fn slots(&self) -> Slots {
        Slots {
            places: vec![(0, 0); self.wanted.len()],
        }
    }

    /// Finds the wanted values of a line, whose UTF-8 was checked before. It has to be an object.
    #[inline]
    pub(crate) fn scan(&self, line: &[u8], slots: &mut Slots) -> Result<(), Malformed> {
        self.scan_with(line, slots, &mut ())
    }

    /// The same, and all members of the record itself in their order.
    pub(crate) fn scan_members<'a>(
        &self,
        line: &'a [u8],
        slots: &mut Slots,
        members: &mut Vec<Member<'a>>,
    ) -> Result<(), Malformed> {
        members.clear();
        self.scan_with(line, slots, members)
    }

    #[inline]
    fn scan_with<'a, M: Members<'a>>(
        &self,
        line: &'a [u8],
        slots: &mut Slots,
        members: &mut M,
    ) -> Result<(), Malformed> {
        slots.places.fill((0, 0));
        let mut scan = Scan::new(line);
        scan.space();
        if scan.peek() != Some(b'{') {
            // What is no JSON at all is told as that.
            let at = scan.at();
            scan.skip()?;
            scan.end()?;
            return Err(Malformed {
                what: "a record has to be an object; no `{`",
                at,
            });
        }
        self.root
            .object(line, &mut scan, &mut slots.places, members)?;
        scan.end()
    }
}

/// Who is told of the members of an object.
trait Members<'a> {
    fn member(&mut self, line: &'a [u8], key: &'a [u8], value: Place);
}

impl Members<'_> for () {
    #[inline]
    fn member(&mut self, _: &[u8], _: &[u8], _: Place) {}
}

impl<'a> Members<'a> for Vec<Member<'a>> {
    #[inline]
    fn member(&mut self, line: &'a [u8], key: &'a [u8], (start, end): Place) {
        self.push(Member {
            key,
            value: line.get(start..end).unwrap_or_default(),
        });
    }
}

impl Node {
    /// Makes a way down these steps.
    fn place(&mut self, steps: &[Step], slot: usize) {
        let Some((step, rest)) = steps.split_first() else {
            self.slot = Some(slot);
            return;
        };
        if let Step::Key(key) | Step::Either(key, _) = step {
            child(&mut self.keys, key.as_bytes().into(), rest, slot);
        }
        if let Step::Index(index) | Step::Either(_, index) = step {
            child(&mut self.items, *index, rest, slot);
        }
    }

    /// The child for a key as it stands.
    #[inline]
    fn for_key(&self, key: &[u8], escaped: bool) -> Option<&Node> {
        if escaped {
            let name = raw::text(key)?;
            return self.keyed(name.as_bytes());
        }
        let [_, name @ .., _] = key else {
            return None;
        };
        self.keyed(name)
    }

    #[inline]
    fn keyed(&self, name: &[u8]) -> Option<&Node> {
        self.keys
            .iter()
            .find_map(|(key, node)| (**key == *name).then_some(node))
    }

    fn forget(&self, places: &mut [Place]) {
        if let Some(place) = self.slot.and_then(|slot| places.get_mut(slot)) {
            *place = (0, 0);
        }
        let below = self.keys.iter().map(|(_, node)| node);
        for node in below.chain(self.items.iter().map(|(_, node)| node)) {
            node.forget(places);
        }
    }

    #[inline]
    fn value<'a>(
        &self,
        line: &'a [u8],
        scan: &mut Scan<'a>,
        places: &mut [Place],
    ) -> Result<(), Malformed> {
        let start = scan.at();
        if self.keys.is_empty() && self.items.is_empty() {
            scan.skip()?;
        } else {
            // The last of several same keys counts.
            self.forget(places);
            match scan.peek() {
                Some(b'{') => self.object(line, scan, places, &mut ())?,
                Some(b'[') => self.array(line, scan, places)?,
                _ => scan.skip()?,
            }
        }
        if let Some(place) = self.slot.and_then(|slot| places.get_mut(slot)) {
            *place = (start, scan.at());
        }
        Ok(())
    }

    fn object<'a, M: Members<'a>>(
        &self,
        line: &'a [u8],
        scan: &mut Scan<'a>,
        places: &mut [Place],
        members: &mut M,
    ) -> Result<(), Malformed> {
        scan.enter()?;
        scan.space();
        if scan.peek() == Some(b'}') {
            scan.leave();
            return Ok(());
        }
        loop {
            let key = scan.key()?;
            let start = scan.at();
            match self.for_key(key.0, key.1) {
                Some(node) => node.value(line, scan, places)?,
                None => scan.skip()?,
            }
            members.member(line, key.0, (start, scan.at()));
            if !scan.comma(b'}')? {
                return Ok(());
            }
        }
    }

    fn array<'a>(
        &self,
        line: &'a [u8],
        scan: &mut Scan<'a>,
        places: &mut [Place],
    ) -> Result<(), Malformed> {
        scan.enter()?;
        scan.space();
        if scan.peek() == Some(b']') {
            scan.leave();
            return Ok(());
        }
        let mut index = 0_usize;
        loop {
            match self.items.iter().find(|(at, _)| *at == index) {
                Some((_, node)) => node.value(line, scan, places)?,
                None => scan.skip()?,
            }
            index = index.wrapping_add(1);
            if !scan.comma(b']')? {
                return Ok(());
            }
        }
    }
}

fn child<K: PartialEq>(children: &mut Vec<(K, Node)>, key: K, rest: &[Step], slot: usize) {
    if let Some((_, node)) = children.iter_mut().find(|(k, _)| *k == key) {
        return node.place(rest, slot);
    }
    let mut node = Node::default();
    node.place(rest, slot);
    children.push((key, node));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, path: &str, expected: Option<&str>) {
        let mut projection = Projection::default();
        projection.want(&Path::parse("other").unwrap());
        let slot = projection.want(&Path::parse(path).unwrap());
        let mut slots = projection.slots();
        projection.scan(line.as_bytes(), &mut slots).unwrap();
        let found = slots.get(line.as_bytes(), slot);
        assert_eq!(
            found.map(|raw| std::str::from_utf8(raw).unwrap()),
            expected,
            "{path} in {line}"
        );
    }

    #[test]
    fn values_are_found_where_they_are() {
        let line = r#" { "a" : 1 , "user":{"id": 2.50 ,"tags":[ "x" ,{"y":[]}]},"\u0061b":"é" } "#;
        check(line, "a", Some("1"));
        check(line, "user.id", Some("2.50"));
        check(line, "user.tags[0]", Some("\"x\""));
        check(line, "/user/tags/1/y", Some("[]"));
        check(line, "ab", Some("\"é\""));
        for missing in ["b", "a.b", "user.tags[2]", "user[0]", "user.tags.x", "a[0]"] {
            check(line, missing, None);
        }
        check(r#"{"0":1}"#, "/0", Some("1"));
    }

    #[test]
    fn the_last_of_several_same_keys_counts() {
        check(r#"{"a":1,"a":2}"#, "a", Some("2"));
        check(r#"{"user":{"id":1},"user":{"x":2}}"#, "user.id", None);
        check(r#"{"user":{"id":1},"user":3}"#, "user.id", None);
        check(r#"{"t":[1,2],"t":[3]}"#, "t[1]", None);
    }

    #[test]
    fn what_is_no_object_is_told_so() {
        let projection = Projection::default();
        let check = |line: &str| {
            projection
                .scan(line.as_bytes(), &mut Slots::default())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            check("[1]"),
            "not JSON: a record has to be an object; no `{` at byte 0"
        );
        assert_eq!(check("oops"), "not JSON: no value at byte 0");
        assert_eq!(
            check(r#"{"a":1}x"#),
            "not JSON: something after the end of the value at byte 7"
        );
        assert_eq!(check(r#"{"a":"#), "not JSON: it ends too early at byte 5");
    }
}
