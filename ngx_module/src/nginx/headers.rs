//! The headers of an upstream's answer, and where they were found before.

use std::cell::Cell;
use std::marker::PhantomData;

use ngx::ffi::{ngx_http_upstream_t, ngx_list_part_t, ngx_table_elt_t};

use super::bytes_of;

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

/// The names of all headers of an answer: how many there are, and the sum of nginx's hashes of them. A header that was not
/// among them is not there either where both are the same: hashes are of 64 bits, and the names that an upstream would have to
/// swap for one with the same sum are no names.
pub struct Listed {
    count: Cell<usize>,
    sum: Cell<usize>,
}

impl Default for Listed {
    fn default() -> Listed {
        Listed { count: Cell::new(usize::MAX), sum: Cell::new(0) }
    }
}

/// Where the names of an answer were found: its release, and its pool where that decides. As it begins, no headers are like
/// it.
#[derive(Default)]
pub struct Shape {
    /// Where the release alone decides, and one look tells where it is.
    alone: Cell<Seen>,
    has_names: Cell<bool>,
    release: Cell<Seen>,
    pool: Cell<Seen>,
    listed: Listed,
}

/// What one look at headers tells.
pub enum Look {
    /// Whether the names in them are those of before.
    Same(bool),
    /// That it takes more than one.
    Unclear,
}

impl Shape {
    /// Notes what the headers of an answer are like. `pool` is the header of the pool where that decides.
    pub fn note(&self, headers: Headers<'_>, release: &HeaderName, pool: Option<&HeaderName>) {
        let found = headers.find(release);
        let found_pool = pool.and_then(|pool| headers.find(pool));
        let names = [&found, &found_pool];
        if names.into_iter().flatten().any(|found| !found.seen.is_somewhere()) {
            return self.forget();
        }
        let [release, seen_pool] = names.map(|found| found.as_ref().map_or(Seen::NOWHERE, |found| found.seen));
        self.alone.set(if pool.is_none() { release } else { Seen::NOWHERE });
        self.has_names.set(found.is_some() || found_pool.is_some());
        self.release.set(release);
        self.pool.set(seen_pool);
        headers.list(&self.listed);
    }

    /// Forgets it: the names come from somewhere else.
    pub fn forget(&self) {
        self.alone.set(Seen::NOWHERE);
        self.has_names.set(true);
        self.release.set(Seen::NOWHERE);
        self.pool.set(Seen::NOWHERE);
        self.listed.count.set(usize::MAX);
    }

    /// Whether the names in these headers are those of before, where that takes one look: at the release alone, or at all
    /// headers where there was no name among them.
    #[inline(always)]
    pub fn look(&self, headers: Headers<'_>, is_release: impl FnOnce(&[u8]) -> bool) -> Look {
        match headers.again(&self.alone, is_release) {
            Some(same) => Look::Same(same),
            None if !self.has_names.get() && headers.are_first(&self.listed) => Look::Same(true),
            None => Look::Unclear,
        }
    }

    /// The same where it takes two looks: at the release and at the pool.
    #[inline(always)]
    pub fn look_twice(
        &self,
        headers: Headers<'_>,
        is_release: impl FnOnce(&[u8]) -> bool,
        is_pool: impl FnOnce(&[u8]) -> bool,
    ) -> bool {
        headers.again(&self.pool, is_pool) == Some(true) && headers.again(&self.release, is_release) == Some(true)
    }

    /// Whether they are, with more than one look.
    #[inline(always)]
    pub fn holds(
        &self,
        headers: Headers<'_>,
        is_release: impl FnOnce(&[u8]) -> bool,
        is_pool: impl FnOnce(&[u8]) -> bool,
        has_pool: bool,
    ) -> bool {
        let (has_release, has_seen_pool) = (self.release.get().is_somewhere(), self.pool.get().is_somewhere());
        (has_release && (has_seen_pool || !has_pool) || headers.are(&self.listed))
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

    /// Whether all their names are these, where there are so few that nginx keeps them together.
    #[inline(always)]
    fn are_first(self, listed: &Listed) -> bool {
        let headers = headers_of(self.first());
        headers.len() == listed.count.get() && sum_of_few(headers) == Some(listed.sum.get())
    }

    /// Whether all their names are these.
    #[inline(always)]
    fn are(self, listed: &Listed) -> bool {
        self.are_first(listed) || self.are_many(listed)
    }

    #[cold]
    #[inline(never)]
    fn are_many(self, listed: &Listed) -> bool {
        self.totals() == (listed.count.get(), listed.sum.get())
    }

    /// Notes all their names.
    fn list(self, listed: &Listed) {
        let (count, sum) = self.totals();
        listed.count.set(count);
        listed.sum.set(sum);
    }

    /// What the header of this name says: the first one.
    #[inline]
    pub fn value(self, name: &HeaderName) -> Option<&'a [u8]> {
        match self.at(name.seen.get()) {
            Some(header) => Some(value_of(header)),
            None => self.find(name).map(|found| found.value),
        }
    }

    /// The header of this name: the first one.
    #[inline(never)]
    fn find(self, name: &HeaderName) -> Option<Found<'a>> {
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

    /// How many there are, and the sum of the hashes of their names.
    fn totals(self) -> (usize, usize) {
        self.all().fold((0, 0), |(count, sum), header| (count + 1, sum.wrapping_add(header.hash)))
    }

    fn all(self) -> impl Iterator<Item = &'a ngx_table_elt_t> {
        self.parts().flat_map(headers_of)
    }

    fn parts(self) -> impl Iterator<Item = &'a ngx_list_part_t> {
        // SAFETY: the next part is live, or null.
        std::iter::successors(Some(self.first()), |part| unsafe { part.next.as_ref() })
    }
}

/// The sum of the hashes of less headers than nginx keeps in the first part of its list. Unrolled: the loop would be most of it.
#[inline(always)]
fn sum_of_few(headers: &[ngx_table_elt_t]) -> Option<usize> {
    match headers {
        [] => Some(0),
        [a] => Some(sum([a])),
        [a, b] => Some(sum([a, b])),
        [a, b, c] => Some(sum([a, b, c])),
        [a, b, c, d] => Some(sum([a, b, c, d])),
        [a, b, c, d, e] => Some(sum([a, b, c, d, e])),
        [a, b, c, d, e, f] => Some(sum([a, b, c, d, e, f])),
        [a, b, c, d, e, f, g] => Some(sum([a, b, c, d, e, f, g])),
        _ => None,
    }
}

#[inline(always)]
fn sum<const N: usize>(headers: [&ngx_table_elt_t; N]) -> usize {
    headers.into_iter().fold(0, |sum, header| sum.wrapping_add(header.hash))
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
