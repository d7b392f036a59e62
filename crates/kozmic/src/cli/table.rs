//! Tables for people.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

/// Columns as wide as they need to be, under their names.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.map(str::to_uppercase)).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["octo/orbit".to_owned(), "x".to_owned()], ["o/o".to_owned(), "y".to_owned()]];
        assert_eq!(
            table(["project", "page"], rows),
            "PROJECT     PAGE\nocto/orbit  x\no/o         y"
        );
    }
}
