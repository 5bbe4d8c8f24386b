//! The headers of an upstream's answer, and where they were found before.

use std::cell::Cell;
use std::marker::PhantomData;

use ngx::ffi::{ngx_http_upstream_t, ngx_list_part_t, ngx_table_elt_t};

use super::bytes_of;

/// Headers in which one is known to be absent by their list.
const LISTED: usize = 14;
/// Those that nginx keeps in the first part of its list.
const FIRST_PART: usize = 8;

/// The headers of one answer, as nginx lists them.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Headers<'a> {
    upstream: *const ngx_http_upstream_t,
    live: PhantomData<&'a ngx_http_upstream_t>,
}

/// The name of a header as variables spell it: lower case, with underscores for dashes.
pub struct HeaderName {
    name: Vec<u8>,
    /// Where it was in the answer before.
    seen: Cell<Seen>,
}

/// A header that was found.
pub struct Found<'a> {
    /// What it says.
    pub value: &'a [u8],
    /// Where it is.
    pub seen: Seen,
}

/// Where a header was among those of an answer, and nginx's hash of its name. Most upstreams send the same headers in the
/// same order every time, so one look tells. Where another name has the same hash, the upstream has made it so, which could as
/// well have sent this one.
#[derive(Clone, Copy)]
pub struct Seen {
    /// Its place in the first part of the list; beyond all where it was not there.
    place: usize,
    /// The same in bytes.
    offset: usize,
    hash: usize,
}

impl Seen {
    /// Nowhere.
    pub const NOWHERE: Seen = Seen { place: usize::MAX, offset: 0, hash: 0 };

    /// Whether one look tells where it is.
    #[inline(always)]
    pub fn is_somewhere(&self) -> bool {
        self.place != usize::MAX
    }
}

impl Default for Seen {
    fn default() -> Seen {
        Seen::NOWHERE
    }
}

/// The names of all headers of an answer, by parts of their hashes. A header that was not among them is not there either
/// where all of them are the same.
pub struct Listed {
    count: Cell<usize>,
    hashes: [Cell<u32>; LISTED],
}

impl Default for Listed {
    fn default() -> Listed {
        Listed { count: Cell::new(usize::MAX), hashes: Default::default() }
    }
}

/// Where the names of an answer were found: its release, and its pool where that decides.
#[derive(Default)]
pub struct Shape {
    kind: Cell<Kind>,
    /// Where the release alone decides, and one look tells where it is.
    pub alone: Cell<Seen>,
    release: Cell<Seen>,
    pool: Cell<Seen>,
    listed: Listed,
}

/// What finding the names takes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// A closer look.
    #[default]
    Unknown,
    /// There are none.
    None,
    /// There are some.
    Some,
}

impl Shape {
    /// Notes what the headers of an answer are like. `pool` is the header of the pool where that decides.
    pub fn note(&self, headers: Headers<'_>, release: &HeaderName, pool: Option<&HeaderName>) {
        let release = headers.find(release);
        let pool = pool.map(|pool| headers.find(pool));
        let seen = |found: &Option<Found<'_>>| found.as_ref().map_or(Seen::NOWHERE, |found| found.seen);
        let is_far = |found: &Option<Found<'_>>| found.as_ref().is_some_and(|found| !found.seen.is_somewhere());
        self.release.set(seen(&release));
        self.pool.set(pool.as_ref().map_or(Seen::NOWHERE, seen));
        self.alone.set(if pool.is_none() { seen(&release) } else { Seen::NOWHERE });
        headers.list(&self.listed);
        self.kind.set(match (&release, &pool) {
            _ if is_far(&release) || pool.as_ref().is_some_and(is_far) => Kind::Unknown,
            (None, None | Some(None)) => Kind::None,
            _ => Kind::Some,
        });
    }

    /// Forgets it: the names come from somewhere else.
    pub fn forget(&self) {
        self.kind.set(Kind::Unknown);
        self.alone.set(Seen::NOWHERE);
    }

    /// Whether the names in these headers are these, as far as that is known without a closer look.
    #[inline(always)]
    pub fn holds(
        &self,
        headers: Headers<'_>,
        is_release: impl FnOnce(&[u8]) -> bool,
        is_pool: impl FnOnce(&[u8]) -> bool,
        has_pool: bool,
    ) -> bool {
        if self.kind.get() == Kind::None {
            return headers.are(&self.listed);
        }
        let (has_release, has_seen_pool) = (self.release.get().is_somewhere(), self.pool.get().is_somewhere());
        self.kind.get() == Kind::Some
            && (has_release && (has_seen_pool || !has_pool) || headers.are(&self.listed))
            && (!has_release || headers.again(&self.release, is_release) == Some(true))
            && (!has_seen_pool || headers.again(&self.pool, is_pool) == Some(true))
    }
}

impl HeaderName {
    /// The header behind `$upstream_http_NAME`.
    pub fn of_variable(name: &str) -> Option<HeaderName> {
        let name = name.strip_prefix("upstream_http_")?.to_ascii_lowercase().into_bytes();
        (!name.is_empty()).then(|| HeaderName { name, seen: Cell::default() })
    }

    /// Whether this is the header, by the rule of nginx's variables.
    fn is(&self, header: &[u8]) -> bool {
        let same = |(byte, wanted): (&u8, &u8)| match byte {
            b'-' => *wanted == b'_',
            byte => byte.to_ascii_lowercase() == *wanted,
        };
        header.len() == self.name.len() && header.iter().zip(&self.name).all(same)
    }
}

impl<'a> Headers<'a> {
    /// Those that this upstream answered with last.
    #[inline(always)]
    pub(super) fn new(upstream: &'a ngx_http_upstream_t) -> Headers<'a> {
        Headers { upstream, live: PhantomData }
    }

    #[inline(always)]
    fn first(self) -> &'a ngx_list_part_t {
        // SAFETY: made of a reference that lives as long.
        unsafe { &(*self.upstream).headers_in.headers.part }
    }

    /// Whether the header that was seen there has this value; `None` where it is not there again.
    #[inline(always)]
    pub fn again(self, seen: &Cell<Seen>, is_it: impl FnOnce(&'a [u8]) -> bool) -> Option<bool> {
        self.at(seen.get()).map(|header| is_it(value_of(header)))
    }

    /// The header that was seen there, if it is there again.
    #[inline(always)]
    fn at(self, seen: Seen) -> Option<&'a ngx_table_elt_t> {
        let first = self.first();
        if first.nelts <= seen.place {
            return None;
        }
        // SAFETY: the first part of a list of headers has `nelts` of them.
        let header = unsafe { &*first.elts.byte_add(seen.offset).cast::<ngx_table_elt_t>() };
        (header.hash == seen.hash).then_some(header)
    }

    /// Whether all their names are these, in this order.
    #[inline(always)]
    pub fn are(self, listed: &Listed) -> bool {
        let headers = headers_of(self.first());
        headers.len() == listed.count.get() && headers.len() < FIRST_PART && listed.are_hashes_of(headers)
            || self.are_many(listed)
    }

    #[cold]
    #[inline(never)]
    fn are_many(self, listed: &Listed) -> bool {
        self.count() == listed.count.get()
            && self.all().zip(&listed.hashes).all(|(header, hash)| header.hash as u32 == hash.get())
    }

    /// Notes all their names, unless there are too many.
    pub fn list(self, listed: &Listed) {
        let count = self.count();
        listed.count.set(if count <= LISTED { count } else { usize::MAX });
        self.all().zip(&listed.hashes).for_each(|(header, hash)| hash.set(header.hash as u32));
    }

    /// The header of this name: the first one.
    #[inline(never)]
    pub fn find(self, name: &HeaderName) -> Option<Found<'a>> {
        let seen = name.seen.get();
        if let Some(header) = self.at(seen) {
            return Some(Found { value: value_of(header), seen });
        }
        let (place, header) = self.all().enumerate().find(|(_, header)| is_named(header, name))?;
        let seen = Seen { place, offset: place * size_of::<ngx_table_elt_t>(), hash: header.hash };
        let seen = if place < self.first().nelts { seen } else { Seen::NOWHERE };
        name.seen.set(seen);
        Some(Found { value: value_of(header), seen })
    }

    fn count(self) -> usize {
        self.parts().map(|part| part.nelts).sum()
    }

    fn all(self) -> impl Iterator<Item = &'a ngx_table_elt_t> {
        self.parts().flat_map(headers_of)
    }

    fn parts(self) -> impl Iterator<Item = &'a ngx_list_part_t> {
        // SAFETY: the next part is live, or null.
        std::iter::successors(Some(self.first()), |part| unsafe { part.next.as_ref() })
    }
}

impl Listed {
    /// Unrolled: the loop would be most of it.
    #[inline(always)]
    fn are_hashes_of(&self, headers: &[ngx_table_elt_t]) -> bool {
        match headers {
            [] => true,
            [_] => self.are_first::<1>(headers),
            [_, _] => self.are_first::<2>(headers),
            [_, _, _] => self.are_first::<3>(headers),
            [_, _, _, _] => self.are_first::<4>(headers),
            [_, _, _, _, _] => self.are_first::<5>(headers),
            [_, _, _, _, _, _] => self.are_first::<6>(headers),
            [_, _, _, _, _, _, _] => self.are_first::<7>(headers),
            _ => false,
        }
    }

    #[inline(always)]
    fn are_first<const N: usize>(&self, headers: &[ngx_table_elt_t]) -> bool {
        let Some(headers) = headers.first_chunk::<N>() else { return false };
        let differ = |at: usize| headers[at].hash as u32 ^ self.hashes[at].get();
        (0..N).fold(0, |all, at| all | differ(at)) == 0
    }
}

/// The headers of one part of a list.
#[inline(always)]
fn headers_of(part: &ngx_list_part_t) -> &[ngx_table_elt_t] {
    if part.nelts == 0 {
        return &[];
    }
    // SAFETY: a part of a list of headers has `nelts` of them.
    unsafe { std::slice::from_raw_parts(part.elts.cast::<ngx_table_elt_t>(), part.nelts) }
}

fn is_named(header: &ngx_table_elt_t, name: &HeaderName) -> bool {
    // SAFETY: the key is a live string. A header that a later one replaced has no hash.
    header.hash != 0 && name.is(unsafe { bytes_of(&header.key) })
}

#[inline(always)]
fn value_of(header: &ngx_table_elt_t) -> &[u8] {
    // SAFETY: nginx copies the value of each header of an answer, also of an empty one: it is live and not null.
    unsafe { std::slice::from_raw_parts(header.value.data, header.value.len) }
}
