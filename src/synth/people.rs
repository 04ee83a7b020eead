//! The users of a data set: who they are, how active, and what they like best.
//!
//! A user is computed from an index whenever it is needed, so any number of users takes no memory.
//! Knows nothing of prints, taps or payments.

use super::props::{self, Prop};
use super::rng::{Rng, mix};

/// Activity of the users of a block of 64: one in 64 is busy every day, most hardly ever come.
const ACTIVITY: [u8; BLOCK as usize] = [
    1, 2, 1, 5, 1, 2, 1, 12, 1, 2, 1, 5, 1, 2, 1, 1, 1, 2, 1, 5, 1, 2, 1, 1, 1, 2, 1, 5, 1, 2, 1,
    40, 1, 2, 1, 5, 1, 2, 1, 12, 1, 2, 1, 5, 1, 2, 1, 1, 1, 2, 1, 5, 1, 2, 1, 1, 1, 2, 1, 5, 1, 2,
    1, 12,
];
const BLOCK: u64 = 64;
const BLOCK_ACTIVITY: u64 = activity_of_first(BLOCK);
const HIGHEST_ACTIVITY: u64 = 40;
/// Which user of a block owns which unit of its activity.
const OWNER: [u8; BLOCK_ACTIVITY as usize] = owners();
/// Ids are drawn from at least so many numbers.
const LEAST_SPAN: u64 = 100_000;

const fn activity_of_first(users: u64) -> u64 {
    let (mut sum, mut user) = (0, 0);
    while user < users {
        sum += ACTIVITY[user as usize] as u64;
        user += 1;
    }
    sum
}

const fn owners() -> [u8; BLOCK_ACTIVITY as usize] {
    let mut owner = [0; BLOCK_ACTIVITY as usize];
    let (mut user, mut unit, mut left) = (0, 0, ACTIVITY[0]);
    while unit < owner.len() {
        if left == 0 {
            user += 1;
            left = ACTIVITY[user];
        }
        owner[unit] = user as u8;
        left -= 1;
        unit += 1;
    }
    owner
}

/// One user.
#[derive(Clone, Copy)]
pub(super) struct User {
    /// The number in the raw files.
    pub id: u64,
    /// Shown first more often, tapped and paid for more often.
    pub favourite: Prop,
}

/// All users.
pub(super) struct People {
    seed: u64,
    activity: u64,
    span: u64,
    step: u64,
    offset: u64,
}

impl People {
    /// `count` users (1 to a thousand million) with ids of their own.
    pub fn new(count: u64, seed: u64) -> People {
        let mut rng = Rng::new(seed, 1);
        let span = LEAST_SPAN.max(count * 2);
        // index → (index · step + offset) mod span never gives one id twice if step and span have
        // no common divisor.
        let mut step = span / 2 + rng.below(span / 4);
        while gcd(step, span) != 1 {
            step += 1;
        }
        let activity = count / BLOCK * BLOCK_ACTIVITY + activity_of_first(count % BLOCK);
        People { seed: rng.bits(), activity, span, step, offset: rng.below(span) }
    }

    /// The user who owns a unit of activity.
    fn owner(&self, unit: u64) -> User {
        let in_block = OWNER[(unit % BLOCK_ACTIVITY) as usize];
        let index = unit / BLOCK_ACTIVITY * BLOCK + u64::from(in_block);
        let id = 1 + (index * self.step + self.offset) % self.span;
        let favourite = props::popular((mix(self.seed ^ index) >> 56) as u8);
        User { id, favourite }
    }

    /// Any user, active ones more often.
    pub fn any(&self, rng: &mut Rng) -> User {
        self.owner(rng.below(self.activity))
    }

    /// Starts a walk past `visits` users; see [`Walk`].
    pub fn walk(&self, visits: u64, rng: &mut Rng) -> Walk {
        let visits = visits.max(1);
        let step = self.activity / visits;
        Walk {
            at: rng.below(self.activity),
            step,
            rest: self.activity % visits,
            visits,
            carried: 0,
            jitter: step.saturating_sub(HIGHEST_ACTIVITY),
        }
    }
}

/// Visits users once around, active ones more often, nobody twice as long as there are enough
/// users (steps further than anyone's activity); else active ones several times.
pub(super) struct Walk {
    at: u64,
    step: u64,
    rest: u64,
    visits: u64,
    carried: u64,
    jitter: u64,
}

impl Walk {
    /// The next user.
    pub fn next(&mut self, people: &People, rng: &mut Rng) -> User {
        let unit = (self.at + rng.below(self.jitter)) % people.activity;
        self.at += self.step;
        self.carried += self.rest;
        if self.carried >= self.visits {
            self.carried -= self.visits;
            self.at += 1;
        }
        if self.at >= people.activity {
            self.at -= people.activity;
        }
        people.owner(unit)
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_user_has_an_id_of_its_own() {
        for count in [1, 63, 64, 65, 4_000, 120_000] {
            let people = People::new(count, 7);
            let ids: BTreeSet<u64> =
                (0..people.activity).map(|unit| people.owner(unit).id).collect();
            assert_eq!(ids.len() as u64, count);
            assert!(ids.iter().all(|&id| id >= 1 && id <= people.span));
        }
    }

    #[test]
    fn a_walk_visits_nobody_twice_when_there_are_enough_users() {
        let people = People::new(4_000, 7);
        let mut rng = Rng::new(3, 0);
        for visits in [1, 10, 200, 280] {
            let mut walk = people.walk(visits, &mut rng);
            let ids: BTreeSet<u64> = (0..visits).map(|_| walk.next(&people, &mut rng).id).collect();
            assert_eq!(ids.len() as u64, visits);
        }
    }

    #[test]
    fn a_walk_past_few_users_comes_back_to_them() {
        let people = People::new(1, 7);
        let mut rng = Rng::new(3, 0);
        let mut walk = people.walk(50, &mut rng);
        let ids: BTreeSet<u64> = (0..60).map(|_| walk.next(&people, &mut rng).id).collect();
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn a_few_users_own_a_good_part_of_the_activity() {
        let people = People::new(6_400, 7);
        let mut rng = Rng::new(3, 0);
        let mut rows: BTreeMap<u64, u32> = BTreeMap::new();
        for _ in 0..50_000 {
            *rows.entry(people.any(&mut rng).id).or_default() += 1;
        }
        let mut counts: Vec<u32> = rows.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let top: u32 = counts[..100].iter().sum();
        assert!((9_000..13_000).contains(&top), "{top}");
    }
}
