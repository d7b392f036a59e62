//! A hook's form: what its fields are called, and what is known of its image.

use std::fmt::Display;

pub(in crate::web) const TITLE: &str = "Title";
pub(in crate::web) const IMAGE: &str = "Docker image";
pub(in crate::web) const INSTALL_SCRIPT: &str = "Install script";
pub(in crate::web) const BUILD_SCRIPT: &str = "Build script";
pub(in crate::web) const TRACKED: &str = "Tracked files";

/// The options, of which this line is not understood.
pub(in crate::web) fn option(line: &str) -> String {
    format!("Options, `{line}`")
}

/// A field, and what is wrong with it.
pub(in crate::web) fn problem(field: &str, problem: impl Display) -> String {
    format!("{field}: {problem}")
}

/// Continues [`option`].
pub(in crate::web) const NO_OPTION: &str = "write it as name = value";

/// Behind the last line of a script, where two versions of it differ in that alone.
pub(in crate::web) const NO_LINE_END: &str = "  (no line end)";

/// `ago` is an age, as in "2 hours ago".
pub(in crate::web) fn image_not_had(ago: &str, why: &str) -> String {
    format!("The last job that needed this image, {ago}, did not get it: {why}.")
}

pub(in crate::web) fn image_used(ago: &str) -> String {
    format!("A job ran on this image {ago}.")
}

pub(in crate::web) fn image_pulled(ago: &str) -> String {
    format!("This image was pulled {ago}.")
}

pub(in crate::web) const IMAGE_UNKNOWN: &str = "No job of this project ran on this image yet; whether there is one is known when the first \
     one needs it, as a try does.";
