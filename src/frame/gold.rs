//! The Gold table, built row by row in user order.

use polars::prelude::*;

use super::{
    ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES, Strings, amount_of_cents, flags, instants, integers,
    numbers, utf8,
};

/// One print of the target window with what is known of its user and value prop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoldRow<'a> {
    /// When it was shown, in microseconds.
    pub timestamp_us: i64,
    /// To whom.
    pub user: &'a [u8],
    /// What.
    pub value_prop: &'a [u8],
    /// Whether it was tapped that day.
    pub clicked: bool,
    /// Prints in the lookback window.
    pub prints: u64,
    /// Taps in the lookback window.
    pub taps: u64,
    /// Payments in the lookback window.
    pub payments: u64,
    /// Their sum in cents.
    pub cents: i128,
}

/// Rows of the Gold table, gathered until they are a row group.
pub struct GoldFrame {
    timestamps: Vec<i64>,
    users: Strings,
    value_props: Strings,
    clicked: Vec<bool>,
    prints: Vec<i64>,
    taps: Vec<i64>,
    payments: Vec<i64>,
    amounts: Vec<f64>,
    text_bytes: usize,
}

impl Default for GoldFrame {
    fn default() -> Self {
        GoldFrame {
            timestamps: Vec::new(),
            users: Strings::new("user_id"),
            value_props: Strings::new("value_prop_id"),
            clicked: Vec::new(),
            prints: Vec::new(),
            taps: Vec::new(),
            payments: Vec::new(),
            amounts: Vec::new(),
            text_bytes: 0,
        }
    }
}

impl GoldFrame {
    /// Whether the rows are a row group.
    pub fn is_full(&self) -> bool {
        self.timestamps.len() == ROW_GROUP_ROWS || self.text_bytes >= ROW_GROUP_TEXT_BYTES
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds the next row in user order.
    #[inline]
    pub fn push(&mut self, row: &GoldRow<'_>) {
        self.text_bytes += row.user.len() + row.value_prop.len();
        self.timestamps.push(row.timestamp_us);
        self.users.push(&utf8(row.user));
        self.value_props.push(&utf8(row.value_prop));
        self.clicked.push(row.clicked);
        self.prints.push(row.prints as i64);
        self.taps.push(row.taps as i64);
        self.payments.push(row.payments as i64);
        self.amounts.push(amount_of_cents(row.cents));
    }

    /// The rows so far as a frame; empty again.
    pub fn take(&mut self) -> PolarsResult<DataFrame> {
        let rows = self.timestamps.len();
        self.text_bytes = 0;
        let columns = vec![
            instants("timestamp", std::mem::take(&mut self.timestamps)),
            self.users.take(),
            self.value_props.take(),
            flags("clicked", &self.clicked),
            integers("prints_count_3w", std::mem::take(&mut self.prints)),
            integers("taps_count_3w", std::mem::take(&mut self.taps)),
            integers("payments_count_3w", std::mem::take(&mut self.payments)),
            numbers("payments_amount_3w", std::mem::take(&mut self.amounts)),
        ];
        self.clicked.clear();
        DataFrame::new(rows, columns)
    }
}
