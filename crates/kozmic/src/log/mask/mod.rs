//! Hides secrets: in the bytes of a log before anything of them is kept, and in texts.
//!
//! What is hidden becomes as many asterisks as it had bytes, so that a log has a byte for
//! each one that the script wrote, and is gone on with at the right one after a crash.
//! Line ends stay.
//!
//! A form of [`BROKEN_FROM`] bytes and more is found as well when lines are broken within
//! it: one line end (LF, CR or CRLF) may stand between any two of its bytes, as `base64`,
//! `fold` and terminals put them. No more than that, so that what must be held back is
//! bounded: see [`Masks::REACH`].

mod forms;
mod sink;

use std::fmt;
use std::sync::Arc;

use aho_corasick::automaton::{Automaton as _, StateID};
use aho_corasick::nfa::contiguous::{Builder, NFA};
use aho_corasick::{Anchored, MatchKind};

pub use forms::{SHORTEST, lines_too_short};
pub use sink::Masked;

/// Shorter forms are found on one line only.
const BROKEN_FROM: usize = 8;

/// All that is to be hidden in one log. Cheap to clone.
#[derive(Clone, Default)]
pub struct Masks(Option<Arc<Known>>);

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Masks(some)" } else { "Masks(none)" })
    }
}

/// The automaton of all forms, and what it does not tell of its states.
struct Known {
    automaton: NFA,
    start: StateID,
    /// By the state's number.
    states: Vec<State>,
    /// The bytes with which a form begins.
    begins: [bool; 256],
}

#[derive(Clone, Copy, Default)]
struct State {
    /// How many of the last bytes may be the beginning of a form that is longer than they.
    holds: u8,
    /// Those are half of that form or more, and not too few.
    is_half: bool,
}

/// More forms than the automaton's states can be numbered for.
#[derive(Debug, thiserror::Error)]
#[error("the secrets are too long to be masked: {0}")]
pub struct TooMany(#[from] aho_corasick::BuildError);

impl Masks {
    /// How far apart the first and the last byte of anything that is hidden at once may
    /// be: no byte's fate depends on others that are farther away, and no more is held back.
    pub const REACH: u64 = 3 * forms::LONGEST as u64;

    /// Hides these values, each in all its forms. What is shorter than [`SHORTEST`]
    /// characters stays.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Self, TooMany> {
        let mut patterns: Vec<String> = values.into_iter().flat_map(forms::forms).collect();
        patterns.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
        patterns.dedup();
        if patterns.is_empty() {
            return Ok(Self(None));
        }
        let automaton = Builder::new().match_kind(MatchKind::Standard).build(&patterns)?;
        Ok(Self(Some(Arc::new(Known::new(automaton, &patterns)))))
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A whole text, as it may be kept and shown; it has as many bytes.
    pub fn hide(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = Stream::new(self.clone());
        let mut hidden = Vec::with_capacity(text.len());
        stream.push(text, &mut hidden);
        stream.finish(&mut hidden);
        hidden
    }

    /// As [`Masks::hide`].
    pub fn hide_text(&self, text: &str) -> String {
        match &self.0 {
            None => text.to_owned(),
            Some(_) => String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned(),
        }
    }
}

impl Known {
    /// `patterns` from the shortest to the longest.
    fn new(automaton: NFA, patterns: &[String]) -> Self {
        // In this mode a start always is.
        let start = automaton.start_state(Anchored::No).unwrap_or_default();
        let mut begins = [false; 256];
        for first in patterns.iter().filter_map(|pattern| pattern.bytes().next()) {
            begins[usize::from(first)] = true;
        }
        let mut known = Self { automaton, start, states: Vec::new(), begins };
        // Whoever has read the beginning of a pattern, and nothing else, is in its state.
        for pattern in patterns {
            let mut sid = start;
            for (index, byte) in pattern.bytes().enumerate() {
                sid = known.next(sid, byte);
                let depth = index + 1;
                if depth < pattern.len() {
                    let state = known.state_mut(sid);
                    state.holds = u8::try_from(depth).unwrap_or(u8::MAX);
                    state.is_half |= depth >= SHORTEST && 2 * depth >= pattern.len();
                }
            }
        }
        // One that is nobody's beginning holds what its longest end holds, which belongs
        // to a shorter one.
        for pattern in patterns {
            let whole = pattern.bytes().fold(start, |sid, byte| known.next(sid, byte));
            if known.state(whole).holds == 0 {
                let end = pattern.bytes().skip(1).fold(start, |sid, byte| known.next(sid, byte));
                *known.state_mut(whole) = known.state(end);
            }
        }
        known
    }

    fn next(&self, sid: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, sid, byte)
    }

    fn state(&self, sid: StateID) -> State {
        self.states.get(sid.as_usize()).copied().unwrap_or_default()
    }

    fn state_mut(&mut self, sid: StateID) -> &mut State {
        let index = sid.as_usize();
        if self.states.len() <= index {
            self.states.resize(index + 1, State::default());
        }
        &mut self.states[index]
    }
}

/// Hides in bytes that come in pieces, however they are cut. Its `Debug` shows none of them.
pub struct Stream {
    masks: Masks,
    state: StateID,
    /// What may be part of something to hide, and whether it is.
    held: Vec<(u8, bool)>,
    /// Where in `held` the last bytes are that are no line ends; the earlier ones of those
    /// are not looked at any more.
    places: Vec<usize>,
    broken: Break,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({:?}, {} bytes held back)", self.masks, self.held.len())
    }
}

/// The line end that was read last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    None,
    Cr,
    Whole,
}

impl Stream {
    pub fn new(masks: Masks) -> Self {
        let state = masks.0.as_ref().map(|known| known.start).unwrap_or_default();
        Self { masks, state, held: Vec::new(), places: Vec::new(), broken: Break::None }
    }

    /// Takes bytes, and adds to `out` what is sure.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(known) = self.masks.0.clone() else {
            out.extend_from_slice(bytes);
            return;
        };
        let mut rest = bytes;
        loop {
            if self.held.is_empty() {
                let begins = |byte: &u8| known.begins[usize::from(*byte)];
                let plain = rest.iter().position(begins).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
                self.broken = Break::None;
            }
            let Some((byte, after)) = rest.split_first() else { break };
            rest = after;
            let place = self.held.len();
            self.held.push((*byte, false));
            match (byte, self.broken) {
                (b'\r', Break::None) => self.broken = Break::Cr,
                (b'\n', Break::None | Break::Cr) => self.broken = Break::Whole,
                (b'\r' | b'\n', _) => self.state = known.start,
                (byte, _) => {
                    self.broken = Break::None;
                    self.state = known.next(self.state, *byte);
                    self.places.push(place);
                    if known.automaton.is_match(self.state) {
                        self.mark(&known);
                    }
                }
            }
            let holds = usize::from(known.state(self.state).holds);
            if holds == 0 {
                self.release(self.held.len(), out);
            } else if self.places.len() > holds {
                let first = self.places[self.places.len() - holds];
                // All at once, now and then, and not byte by byte.
                if first >= CHUNK {
                    self.release(first, out);
                }
            }
        }
        let holds = usize::from(known.state(self.state).holds);
        let sure = match holds {
            0 => self.held.len(),
            _ => self.places[self.places.len() - holds],
        };
        self.release(sure, out);
    }

    /// The output has ended: what was held back comes out. When it ends with half of
    /// something or more, that is hidden.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Some(known) = self.masks.0.clone() {
            if known.state(self.state).is_half {
                self.hide_from(self.places.len() - usize::from(known.state(self.state).holds));
            }
            self.state = known.start;
            self.broken = Break::None;
        }
        self.release(self.held.len(), out);
    }

    /// Bytes that are held back.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The longest form that ends here, where it is one.
    fn mark(&mut self, known: &Known) {
        let matches = known.automaton.match_len(self.state);
        let lengths = (0..matches).map(|index| {
            known.automaton.pattern_len(known.automaton.match_pattern(self.state, index))
        });
        let is_one = |length: &usize| {
            let first = self.places[self.places.len() - length];
            *length >= BROKEN_FROM || self.held.len() - first == *length
        };
        if let Some(length) = lengths.filter(is_one).max() {
            self.hide_from(self.places.len() - length);
        }
    }

    /// From this one of the places on.
    fn hide_from(&mut self, index: usize) {
        for place in &self.places[index..] {
            self.held[*place].1 = true;
        }
    }

    /// The first `count` of what is held back.
    fn release(&mut self, count: usize, out: &mut Vec<u8>) {
        let released = self.held.drain(..count);
        out.extend(released.map(|(byte, is_hidden)| if is_hidden { b'*' } else { byte }));
        if self.held.is_empty() {
            self.places.clear();
            return;
        }
        self.places.retain_mut(|place| {
            let stays = *place >= count;
            *place = place.wrapping_sub(count);
            stays
        });
    }
}

/// Bytes that are given out at once while others are held back.
const CHUNK: usize = 4096;

#[cfg(test)]
mod tests;
