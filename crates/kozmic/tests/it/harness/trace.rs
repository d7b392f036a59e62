//! What a program asked of the kernel, in the order in which it did: strace's
//! account of it (`strace -f -y -o FILE`).

use std::collections::HashMap;

/// One call. `began` and `ended` are places in the trace: of two calls, the one that
/// ended at a smaller place than the other began at was over before it.
#[derive(Debug, Clone)]
pub struct Call {
    pub thread: u32,
    pub name: String,
    /// As strace writes them, strings escaped and cut.
    pub arguments: String,
    /// None where it never returned, or returned no number.
    pub result: Option<i64>,
    pub began: usize,
    pub ended: Option<usize>,
}

impl Call {
    /// What its first argument, a descriptor, leads to: a path, or `socket:[12]`.
    pub fn on(&self) -> &str {
        let inside = self.arguments.split_once('<').map_or("", |(_, rest)| rest);
        inside.split_once('>').map_or("", |(name, _)| name)
    }

    pub fn writes(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "pwrite64" | "sendto" | "sendmsg")
    }

    /// It was a sync, and the kernel says that it is done.
    pub fn has_synced(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.result == Some(0)
    }

    /// Whether it was over before `other` began.
    pub fn is_before(&self, other: &Self) -> bool {
        self.ended.is_some_and(|ended| ended < other.began)
    }
}

/// The calls, by their beginnings. A call during which another thread had its turn
/// stands on two lines: `… <unfinished ...>` and `<... NAME resumed>…`.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<u32, usize> = HashMap::new();
    for (place, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let Ok(thread) = thread.parse() else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some(index) = unfinished.remove(&thread) else { continue };
            let (_, rest) = resumed.split_once(" resumed>").unwrap();
            let (arguments, result) = split_result(rest);
            let call = &mut calls[index];
            call.arguments += arguments;
            (call.result, call.ended) = (result, Some(place));
        } else if let Some((name, rest)) = rest.split_once('(') {
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_name {
                continue;
            }
            let (arguments, result, ended) = match rest.strip_suffix(" <unfinished ...>") {
                Some(arguments) => {
                    unfinished.insert(thread, calls.len());
                    (arguments, None, None)
                }
                None => {
                    let (arguments, result) = split_result(rest);
                    (arguments, result, Some(place))
                }
            };
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            calls.push(Call { thread, name, arguments, result, began: place, ended });
        }
    }
    calls
}

/// `…) = 5` or `…) = -1 EIO (Input/output error)`.
fn split_result(text: &str) -> (&str, Option<i64>) {
    let Some((arguments, result)) = text.rsplit_once(") = ") else { return (text, None) };
    (arguments, result.split(' ').next().and_then(|number| number.parse().ok()))
}
