//! What callgrind wrote about one thread.
//!
//! Source of the format: the manual of valgrind, "Callgrind Format Specification".

use std::collections::HashMap;

/// The functions in which glibc looks for free memory. How long that takes depends on how the heap happens to lie,
/// which differs between two configurations by hundreds of instructions in either direction: it is left out everywhere.
const ALLOCATOR: [&str; 6] =
    ["_int_malloc", "_int_free", "unlink_chunk", "malloc_consolidate", "sysmalloc", "_int_realloc"];

/// Instructions of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// All of them.
    pub total: u64,
    /// Those of the search for memory.
    pub allocator: u64,
    /// Those between a call into the object that was asked for and its return, whatever that calls itself.
    pub inside: u64,
}

/// An object file and a function, as numbers of the dump.
#[derive(Clone, Copy, Default)]
struct Position<'a> {
    object: &'a str,
    function: &'a str,
}

impl Profile {
    /// Reads a dump. `object` is a part of the path of an object file.
    pub fn read(text: &str, object: &str) -> Profile {
        let (mut objects, mut functions) = (HashMap::new(), HashMap::new());
        let (mut here, mut callee) = (Position::default(), Position::default());
        let mut profile = Profile::default();
        let mut is_call = false;
        for line in text.lines() {
            let (key, value) = line.split_once('=').unwrap_or_default();
            match key {
                "ob" => here.object = name(value, &mut objects),
                "fn" => {
                    here.function = name(value, &mut functions);
                    callee = here;
                }
                "cob" => callee.object = name(value, &mut objects),
                "cfn" => callee.function = name(value, &mut functions),
                "calls" => is_call = true,
                _ => {
                    let Some(count) = cost(line) else { continue };
                    if !is_call {
                        profile.total += count;
                        if ALLOCATOR.iter().any(|part| here.function.starts_with(part)) {
                            profile.allocator += count;
                        }
                    } else if callee.object.contains(object) && !here.object.contains(object) {
                        profile.inside += count;
                    }
                    if is_call {
                        callee = here;
                        is_call = false;
                    }
                }
            }
        }
        profile
    }
}

/// A name, which is written in full once, `(7) main`, and by its number after that, `(7)`.
fn name<'a>(value: &'a str, known: &mut HashMap<&'a str, &'a str>) -> &'a str {
    match value.split_once(") ") {
        Some((number, name)) => {
            known.insert(number, name);
            name
        }
        None => known.get(value.trim_end_matches(')')).copied().unwrap_or_default(),
    }
}

/// The cost in a line that begins with a place in the source: `+3 12`.
fn cost(line: &str) -> Option<u64> {
    let (place, count) = line.split_once(' ')?;
    let place = place.trim_start_matches(['+', '-', '*']);
    if place.bytes().all(|byte| byte.is_ascii_digit()) { count.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
positions: line
events: Ir
summary: 1000

ob=(1) /usr/sbin/nginx
fl=(1) ???
fn=(1) serve
10 100
cfn=(2) parse
calls=3 0
+1 60
cob=(2) /usr/lib/module.so
cfi=(9) log.rs
cfn=(3) log_handler
calls=3 7
* 45
-2 5

fn=(2)
0 60

ob=(2)
fn=(3)
7 30
cfn=(4) helper
calls=3 1
+1 12
cob=(3) /usr/lib/libc.so.6
cfn=(5) memcpy
calls=3 1
+1 3

fn=(4)
1 12

ob=(3)
fn=(5)
0 3

fn=(6) _int_malloc.constprop.0
0 40
";

    #[test]
    fn what_the_module_calls_is_its_own_and_counted_once() {
        let expected = Profile { total: 250, allocator: 40, inside: 45 };
        assert_eq!(Profile::read(DUMP, "module.so"), expected);
        assert_eq!(Profile::read(DUMP, "other.so"), Profile { inside: 0, ..expected });
    }
}
