//! The story itself: day after day, sessions with their taps, and payments.
//!
//! Puts users, value propositions and days together; knows nothing of the form of a line.

use std::collections::BTreeMap;

use super::calendar::Day;
use super::dirt::{Dirt, Kind};
use super::event::Event;
use super::output::{Output, Written};
use super::payment::{self, Payment};
use super::people::{People, User};
use super::props;
use super::rng::Rng;
use super::{FileSummary, Plan, SynthError, SynthOptions};

pub(super) const PRINTS_FILE: &str = "prints.json";
pub(super) const TAPS_FILE: &str = "taps.json";
pub(super) const PAYMENTS_FILE: &str = "pays.csv";

const EVENT_TROUBLES: &[Kind] = &[Kind::Bad, Kind::Soft, Kind::Double];
/// No doubles: a payment twice is two payments.
const PAYMENT_TROUBLES: &[Kind] = &[Kind::Bad, Kind::Soft];
/// How many rows pass between two calls of the progress function.
const TELL_ROWS: u64 = 1 << 17;

/// The three files while they grow.
struct Story<'a> {
    plan: &'a Plan,
    people: People,
    prints: Output,
    taps: Output,
    payments: Output,
    /// Of the last print.
    last: Option<Event<'a>>,
    sessions: Rng,
    purchases: Rng,
    progress: &'a mut dyn FnMut(u64, u64),
    told: u64,
}

/// Writes the three files; on an error none of them.
pub(super) fn write(
    options: &SynthOptions,
    plan: &Plan,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<BTreeMap<&'static str, FileSummary>, SynthError> {
    let stream = |number| Rng::new(options.seed, number);
    let file = |name, rows, kinds, number| {
        Output::create(&options.out, name, rows, Dirt::new(options.dirty, kinds, stream(number)))
    };
    let mut story = Story {
        plan,
        people: People::new(plan.users, options.seed),
        prints: file(PRINTS_FILE, plan.prints, EVENT_TROUBLES, 10)?,
        taps: file(TAPS_FILE, plan.taps, EVENT_TROUBLES, 11)?,
        payments: file(PAYMENTS_FILE, plan.payments, PAYMENT_TROUBLES, 12)?,
        last: None,
        sessions: stream(20),
        purchases: stream(21),
        progress,
        told: 0,
    };
    story.payments.header(payment::HEADER)?;
    story.tell();
    for day in plan.calendar.days() {
        story.sessions_of(day)?;
        story.payments_of(day)?;
        story.tell();
    }
    story.taps_still_owed()?;
    story.publish(options.force)
}

impl<'a> Story<'a> {
    fn sessions_of(&mut self, day: &'a Day) -> Result<(), SynthError> {
        let goal = self.plan.calendar.rows_through(day, self.plan.prints);
        // Sessions have three and a half prints in the mean; a few more visits than will be
        // needed, so that the walk does not come around to its first user again.
        let sessions = goal.saturating_sub(self.prints.rows()) * 2 / 7 + 1;
        let mut walk = self.people.walk(sessions + sessions.isqrt() + 1, &mut self.sessions);
        while self.prints.rows() < goal {
            let user = walk.next(&self.people, &mut self.sessions);
            self.session(day, user)?;
            self.tell_at_times();
        }
        Ok(())
    }

    fn session(&mut self, day: &'a Day, user: User) -> Result<(), SynthError> {
        let (shown, count) = props::carousel(user.favourite, &mut self.sessions);
        // What is missing of the taps is spread over what is missing of the prints, so that the
        // taps asked for are written in the end.
        let (taps_left, prints_left) = (self.taps.rows_left(), self.prints.rows_left());
        let share = (u128::from(taps_left) << 32) / u128::from(prints_left.max(1));
        for (position, &prop) in shown[..count].iter().enumerate() {
            let prints_left = self.prints.rows_left();
            if prints_left == 0 {
                break;
            }
            let event = Event { day: &day.text, position: position as u8, prop, user_id: user.id };
            let written = self.prints.row(&event)?;
            self.last = Some(event);
            let weight = props::tap_weight(prop, position, user.favourite);
            let random = self.sessions.bits() >> 32;
            let liked = written == Written::Good && random * 64 < share as u64 * weight;
            let taps_left = self.taps.rows_left();
            if taps_left > 0 && (liked || taps_left >= prints_left) {
                self.taps.row(&event)?;
            }
        }
        Ok(())
    }

    /// Doubled prints at the very end may have left too few prints to tap.
    fn taps_still_owed(&mut self) -> Result<(), SynthError> {
        while let (1.., Some(event)) = (self.taps.rows_left(), self.last) {
            self.taps.row(&event)?;
        }
        Ok(())
    }

    fn payments_of(&mut self, day: &Day) -> Result<(), SynthError> {
        let goal = self.plan.calendar.rows_through(day, self.plan.payments);
        while self.payments.rows() < goal {
            let user = self.people.any(&mut self.purchases);
            let prop = props::paid_for(user.favourite, &mut self.purchases);
            let cents = props::amount_cents(prop, &mut self.purchases);
            self.payments.row(&Payment { day: &day.text, cents, user_id: user.id, prop })?;
            self.tell_at_times();
        }
        Ok(())
    }

    fn tell_at_times(&mut self) {
        if self.rows() - self.told >= TELL_ROWS {
            self.tell();
        }
    }

    fn rows(&self) -> u64 {
        self.prints.rows() + self.taps.rows() + self.payments.rows()
    }

    fn tell(&mut self) {
        self.told = self.rows();
        (self.progress)(self.told, self.plan.prints + self.plan.taps + self.plan.payments);
    }

    fn publish(mut self, force: bool) -> Result<BTreeMap<&'static str, FileSummary>, SynthError> {
        for file in [&mut self.prints, &mut self.taps, &mut self.payments] {
            file.flush()?;
        }
        Ok(BTreeMap::from([
            ("prints", self.prints.publish(force)?),
            ("taps", self.taps.publish(force)?),
            ("payments", self.payments.publish(force)?),
        ]))
    }
}
