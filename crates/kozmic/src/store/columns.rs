//! How the columns of a row are read.

use sqlx::any::AnyRow;

use super::{Result, failed};

/// Column access that names the column in its error.
pub(super) trait Columns {
    fn int(&self, column: &'static str) -> Result<i64>;
    fn int_or_null(&self, column: &'static str) -> Result<Option<i64>>;
    fn text(&self, column: &'static str) -> Result<String>;
    fn text_or_null(&self, column: &'static str) -> Result<Option<String>>;
    fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>>;
    fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }
}

impl Columns for AnyRow {
    fn int(&self, column: &'static str) -> Result<i64> {
        sqlx::Row::try_get(self, column).map_err(failed("read a row"))
    }

    fn int_or_null(&self, column: &'static str) -> Result<Option<i64>> {
        sqlx::Row::try_get(self, column).map_err(failed("read a row"))
    }

    fn text(&self, column: &'static str) -> Result<String> {
        sqlx::Row::try_get(self, column).map_err(failed("read a row"))
    }

    fn text_or_null(&self, column: &'static str) -> Result<Option<String>> {
        sqlx::Row::try_get(self, column).map_err(failed("read a row"))
    }

    fn bytes_or_null(&self, column: &'static str) -> Result<Option<Vec<u8>>> {
        sqlx::Row::try_get(self, column).map_err(failed("read a row"))
    }
}
