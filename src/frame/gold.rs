//! The Gold table, gathered row by row in user order.

use super::group::{Cells, Group};
use super::texts::{NumberedTextsBuilder, TextRuns};
use super::{ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES, amount_of_cents};

/// One print of the target window with what is known of its user and value prop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoldRow<'a> {
    /// When it was shown, in microseconds.
    pub timestamp_us: i64,
    /// To whom.
    pub user: &'a [u8],
    /// What, as a number of the caller.
    pub value_prop: u32,
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
#[derive(Default)]
pub struct GoldFrame {
    timestamps: Vec<i64>,
    users: TextRuns,
    value_props: NumberedTextsBuilder,
    clicked: Vec<bool>,
    prints: Vec<i64>,
    taps: Vec<i64>,
    payments: Vec<i64>,
    amounts: Vec<f64>,
}

impl GoldFrame {
    /// Whether the rows are a row group.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.timestamps.len() == ROW_GROUP_ROWS
            || self.users.texts.bytes() + self.value_props.bytes() >= ROW_GROUP_TEXT_BYTES
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Adds the next row in user order. The name of its value prop is asked for only if it is
    /// new; until the next [`GoldFrame::take`] a number must keep its name.
    #[inline]
    pub fn push<'n>(&mut self, row: &GoldRow<'_>, value_prop: impl FnOnce() -> &'n [u8]) {
        self.timestamps.push(row.timestamp_us);
        self.users.push(row.user);
        self.value_props.push(row.value_prop, value_prop);
        self.clicked.push(row.clicked);
        self.prints.push(row.prints as i64);
        self.taps.push(row.taps as i64);
        self.payments.push(row.payments as i64);
        self.amounts.push(amount_of_cents(row.cents));
    }

    /// The rows so far; empty again.
    pub fn take(&mut self) -> Group {
        let rows = self.timestamps.len();
        let columns = vec![
            ("timestamp", Cells::Instants(std::mem::take(&mut self.timestamps))),
            ("user_id", Cells::TextRuns(std::mem::take(&mut self.users))),
            ("value_prop_id", Cells::Texts(self.value_props.take())),
            ("clicked", Cells::Flags(std::mem::take(&mut self.clicked))),
            ("prints_count_3w", Cells::Integers(std::mem::take(&mut self.prints))),
            ("taps_count_3w", Cells::Integers(std::mem::take(&mut self.taps))),
            ("payments_count_3w", Cells::Integers(std::mem::take(&mut self.payments))),
            ("payments_amount_3w", Cells::Numbers(std::mem::take(&mut self.amounts))),
        ];
        Group { rows, columns }
    }

    /// Takes the memory of a group that [`GoldFrame::take`] gave and nobody needs any more.
    pub fn reuse(&mut self, group: Group) {
        let mut spare = group.into_spare();
        self.timestamps = spare.integers();
        self.users = spare.runs();
        self.value_props.reuse(spare.texts());
        self.clicked = spare.flags();
        self.prints = spare.integers();
        self.taps = spare.integers();
        self.payments = spare.integers();
        self.amounts = spare.numbers();
    }
}
