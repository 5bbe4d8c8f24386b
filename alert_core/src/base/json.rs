//! JSON, written straight into a buffer without a tree of values in between.
//!
//! The event loop waits for the status document, which is made of thousands of values. What is written here is always whole:
//! an object is closed by what opened it.

use crate::base::clock::rfc3339;

/// What can be written as a JSON value.
pub(crate) trait Json {
    fn write(&self, json: &mut Vec<u8>);
}

/// Writes an object with these keys, in which nothing has to be escaped.
macro_rules! object {
    ($json:expr, { $($key:literal: $value:expr,)* }) => {{
        $json.push(b'{');
        $(
            $json.extend_from_slice(concat!('"', $key, "\":").as_bytes());
            $crate::base::json::Json::write(&$value, $json);
            $json.push(b',');
        )*
        $crate::base::json::close($json, b'}');
    }};
}

pub(crate) use object;

/// Ends a list, whose last element has a comma behind it.
pub(crate) fn close(json: &mut Vec<u8>, end: u8) {
    match json.last_mut() {
        Some(last) if *last == b',' => *last = end,
        _ => json.push(end),
    }
}

/// Opens the object again that was written last and is not empty, for more keys.
pub(crate) fn reopen(json: &mut [u8]) {
    if let Some(last) = json.last_mut() {
        *last = b',';
    }
}

/// An object of these keys and values.
pub(crate) struct Object<F>(pub F);

impl<'a, F, I, V> Json for Object<F>
where
    F: Fn() -> I,
    I: Iterator<Item = (&'a str, V)>,
    V: Json,
{
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'{');
        for (key, value) in (self.0)() {
            key.write(json);
            json.push(b':');
            value.write(json);
            json.push(b',');
        }
        close(json, b'}');
    }
}

/// An array of these values.
pub(crate) struct Array<F>(pub F);

impl<F, I> Json for Array<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Json>,
{
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'[');
        for value in (self.0)() {
            value.write(json);
            json.push(b',');
        }
        close(json, b']');
    }
}

/// A text of others, with whatever is in it.
impl Json for str {
    fn write(&self, json: &mut Vec<u8>) {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if self.bytes().all(is_plain) {
            Plain(self).write(json);
        } else {
            // Writing to a vector cannot fail.
            let _ = serde_json::to_writer(json, self);
        }
    }
}

/// A text in which nothing has to be escaped.
pub(crate) struct Plain<'a>(pub &'a str);

impl Json for Plain<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        json.push(b'"');
        json.extend_from_slice(self.0.as_bytes());
        json.push(b'"');
    }
}

/// A text of which the empty one says that it is not known.
pub(crate) struct Known<'a>(pub &'a str);

impl Json for Known<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        Some(self.0).filter(|text| !text.is_empty()).write(json);
    }
}

/// A time in milliseconds since the Unix epoch.
pub(crate) struct Time(pub u64);

impl Json for Time {
    fn write(&self, json: &mut Vec<u8>) {
        Plain(&rfc3339(self.0)).write(json);
    }
}

impl Json for u64 {
    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
    }
}

impl Json for u32 {
    fn write(&self, json: &mut Vec<u8>) {
        u64::from(*self).write(json);
    }
}

impl Json for f64 {
    fn write(&self, json: &mut Vec<u8>) {
        // Writing to a vector cannot fail, and a share is a number.
        let _ = serde_json::to_writer(json, self);
    }
}

impl Json for bool {
    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(if *self { b"true" } else { b"false" });
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, json: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(json),
            None => json.extend_from_slice(b"null"),
        }
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn write(&self, json: &mut Vec<u8>) {
        (**self).write(json);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Json) -> String {
        let mut json = Vec::new();
        value.write(&mut json);
        String::from_utf8(json).expect("UTF-8")
    }

    #[test]
    fn texts_of_others_are_escaped() {
        for text in ["", "plain", "a\"b\\c", "line\nbreak", "\u{1}", "ä\u{202e}", "{}[],:"] {
            assert_eq!(serde_json::from_str::<String>(&written(text)).expect("a string"), text);
        }
    }

    #[test]
    fn empty_lists_are_closed_and_what_is_unknown_is_null() {
        struct Pair;
        impl Json for Pair {
            fn write(&self, json: &mut Vec<u8>) {
                object!(json, { "a": Known(""), "b": Time(0), "c": Some(0.025), })
            }
        }
        assert_eq!(written(Pair), r#"{"a":null,"b":"1970-01-01T00:00:00.000Z","c":0.025}"#);
        assert_eq!(written(Object(std::iter::empty::<(&str, u64)>)), "{}");
        assert_eq!(written(Array(std::iter::empty::<u64>)), "[]");
        assert_eq!(written(Array(|| [true, false].into_iter())), "[true,false]");
    }
}
