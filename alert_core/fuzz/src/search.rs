//! A search that makes new inputs of those in a corpus, the same ones each time for the same seed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Target;

/// Inputs stay this small: longer ones find nothing that these do not.
const LENGTH_MAX: usize = 4096;

/// Where the corpus of a target lies.
pub fn corpus(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The inputs of a corpus, by name.
///
/// # Panics
/// There is none.
pub fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus(target)).expect("the target has a corpus");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(&path).expect("a file"))).collect()
}

/// The inputs that a seed makes of a corpus.
pub struct Search<'a> {
    corpus: Vec<&'a [u8]>,
    words: &'a [&'a str],
    random: u64,
}

impl<'a> Search<'a> {
    /// Begins with this seed.
    pub fn new(corpus: Vec<&'a [u8]>, words: &'a [&'a str], seed: u64) -> Search<'a> {
        Search { corpus, words, random: seed }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // splitmix64
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound.max(1) as u64) as usize
    }

    fn pick(&mut self) -> &'a [u8] {
        let at = self.below(self.corpus.len());
        self.corpus.get(at).copied().unwrap_or_default()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff, b' ', b'9', b'%'][self.below(8)],
            2 => drop(input.drain(at..end)),
            3 => input.extend_from_within(at..end),
            4 => {
                let noise: Vec<u8> = (0..self.below(16)).map(|_| self.below(256) as u8).collect();
                input.splice(at..end, noise);
            }
            5 => {
                let other = self.pick();
                let from = self.below(other.len() + 1);
                input.splice(at..end, other[from..].iter().copied().take(64));
            }
            _ => {
                let word = self.below(self.words.len());
                input.splice(at..at, self.words.get(word).copied().unwrap_or_default().bytes());
            }
        }
    }
}

impl Iterator for Search<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.pick().to_vec();
        for _ in 0..=self.below(8) {
            self.change(&mut input);
        }
        input.truncate(LENGTH_MAX);
        Some(input)
    }
}
