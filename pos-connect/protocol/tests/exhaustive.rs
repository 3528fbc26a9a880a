//! Every way in which a payment can go, with a few crashes of the server and a few messages lost,
//! doubled or late: an institution that keeps its own books, a shop that asks for what it may, and the
//! server that runs [`step`], all reduced to what decides over money.
//!
//! In every state the sums are within what the institution has; and from every state, when nothing goes
//! wrong any more, the payment ends, and what stands here is what stands there.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as expected")]
#![expect(clippy::arithmetic_side_effects, reason = "a sum that overflows ends a test too")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use pos_protocol::id::OperationId;
use pos_protocol::money::{Amount, Currency};
use pos_protocol::payment::{
    Event, Means, NewOperation, Operation, OperationKind as Kind, OperationState, Outcome, Payment,
    Stepped, step, undoing,
};
use pos_protocol::reason::DeclineReason;
use pos_protocol::time::Timestamp;

/// How many crashes, and how many messages lost, doubled or late: two each in the long run
/// (`POS_SEARCH=2`), one in the usual one.
fn most_harm() -> u8 {
    match std::env::var("POS_SEARCH") {
        Ok(text) => text.parse().expect("POS_SEARCH is a small number"),
        Err(_) => 1,
    }
}

/// The server begins its own refund or void anew when it came too late. From so many operations on it
/// comes in time, if it comes at all: twice shows as much as for ever.
const MOST_OPERATIONS: u8 = 3;

/// The amount of every payment, and what an institution approves that approves less.
const WHOLE: u64 = 1000;
const LESS: u64 = 600;

/// What one institution is able to do, and what the shop asks for, in any order that the guards allow.
#[derive(Clone, Copy, Debug)]
struct World {
    begins: Kind,
    /// Each at most once.
    asks: &'static [Kind],
    inquiry: bool,
    means: Means,
    /// Whether the shop gives up when time has passed.
    gives_up: bool,
    /// Crashes, and messages that are lost, doubled or late, each at most.
    harm: u8,
}

/// A message that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Message {
    Order(u8),
    Inquiry(u8),
    Reversal(u8),
    Reply(u8, Said),
}

/// What an institution says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Said {
    Done(u64),
    Declined,
    NotProcessed,
    NotFound,
    NotFoundForEver,
    Reversed,
    Settled,
}

/// What an institution has of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Booked {
    Done(u64),
    Declined,
    NotProcessed,
    Reversed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    payment: Payment,
    /// The operations that somebody in the living process waits for.
    driven: BTreeSet<u8>,
    /// The server's own that were leased once.
    leased: BTreeSet<u8>,
    under_way: Vec<Message>,
    books: BTreeMap<u8, Booked>,
    /// The institution has heard a reversal of the payment's beginning.
    reversal_heard: bool,
    /// The last moment of the operations up to this one is over.
    late: u8,
    asked: u8,
    crashes: u8,
    faults: u8,
}

fn id(n: u8) -> OperationId {
    OperationId::from_octets([n; 16])
}

fn number(id: OperationId) -> u8 {
    id.octets()[0]
}

fn amount(minor: u64) -> Amount {
    Amount::new(minor).unwrap()
}

impl State {
    fn is_late(&self, n: u8) -> bool {
        n <= self.late
    }

    /// The shop has given up, if ever, when the last moment of the beginning is over.
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(if self.late > 0 { 2_000 } else { 1_000 })
    }
}

impl World {
    fn start(&self) -> State {
        let begin = NewOperation {
            id: id(1),
            kind: self.begins,
            amount: Some(amount(WHOLE)),
            allow_partial: false,
            give_up_at: self.gives_up.then_some(Timestamp::from_secs(1_500)),
            by_server: false,
        };
        let payment = Payment::new(amount(WHOLE), Currency::JPY);
        let payment =
            step(&payment, &Event::Begin(begin), Timestamp::from_secs(1_000)).unwrap().payment;
        State {
            payment,
            driven: BTreeSet::from([1]),
            leased: BTreeSet::new(),
            under_way: vec![Message::Order(1)],
            books: BTreeMap::new(),
            reversal_heard: false,
            late: 0,
            asked: 0,
            crashes: 0,
            faults: 0,
        }
    }

    /// Every state that can follow; with `harm` also by crashes and faults.
    fn next(&self, state: &State, harm: bool) -> Vec<State> {
        let mut all = Vec::new();
        for at in 0..state.under_way.len() {
            let mut without = state.clone();
            let message = without.under_way.remove(at);
            all.extend(self.deliver(&without, message));
            if harm && state.faults < self.harm {
                let faulty = |state: &State| State { faults: state.faults + 1, ..state.clone() };
                all.extend(self.lose(&faulty(&without), message));
                // Twice: once now, and once more later.
                if !matches!(message, Message::Reply(..)) {
                    all.extend(self.deliver(&faulty(state), message));
                    // Late: whoever waits for it gives up first.
                    all.push(self.learn(&faulty(state), number_of(message), Outcome::Unknown));
                }
            }
        }
        if harm && state.crashes < self.harm {
            let crashes = state.crashes + 1;
            all.push(State { driven: BTreeSet::new(), crashes, ..state.clone() });
        }
        let begun = u8::try_from(state.payment.operations.len()).unwrap();
        if state.late < begun && (begun <= MOST_OPERATIONS || !self.own_is_on_its_way(state)) {
            all.push(State { late: begun, ..state.clone() });
        }
        all.extend(self.work(state));
        all.extend((0..self.asks.len()).filter_map(|at| self.ask(state, at)));
        // Where the order does not matter, states are the same.
        for one in &mut all {
            one.under_way.sort_unstable();
        }
        all
    }

    /// Whether a refund or void of the server's has not been sent yet, or is under way.
    fn own_is_on_its_way(&self, state: &State) -> bool {
        let own = |one: &&Operation| one.by_server && one.kind != Kind::Reverse;
        let mut open =
            state.payment.operations.iter().filter(own).filter(|one| one.state.is_open());
        open.any(|one| {
            let n = number(one.id);
            !state.leased.contains(&n) || state.under_way.contains(&Message::Order(n))
        })
    }

    /// What arrives, and what it brings about.
    fn deliver(&self, state: &State, message: Message) -> Vec<State> {
        let answered = |state: &State, about, said| {
            let mut state = state.clone();
            state.under_way.push(Message::Reply(about, said));
            state
        };
        match message {
            Message::Order(n) => {
                let booked = state.books.get(&n).copied();
                let choices = match booked {
                    Some(booked) => vec![booked],
                    None if state.is_late(n) || (n == 1 && state.reversal_heard) => {
                        vec![Booked::NotProcessed]
                    }
                    None => self.judges(state, n),
                };
                let booked = choices.into_iter().map(|booked| {
                    let mut state = state.clone();
                    state.books.insert(n, booked);
                    answered(&state, n, said(booked))
                });
                booked.collect()
            }
            Message::Inquiry(n) => {
                let told = match state.books.get(&n) {
                    Some(booked) => said(*booked),
                    None if state.is_late(n) => Said::NotFoundForEver,
                    None => Said::NotFound,
                };
                vec![answered(state, n, told)]
            }
            Message::Reversal(n) => {
                let mut state = State { reversal_heard: true, ..state.clone() };
                let told = match state.books.get(&1) {
                    Some(Booked::Done(_)) if self.is_built_upon(&state) => Said::Settled,
                    Some(_) => {
                        state.books.insert(1, Booked::Reversed);
                        Said::Reversed
                    }
                    None if state.is_late(1) => Said::NotFoundForEver,
                    None => Said::NotFound,
                };
                vec![answered(&state, n, told)]
            }
            Message::Reply(n, said) if state.driven.contains(&n) => {
                vec![self.learn(state, n, outcome(state, n, said))]
            }
            // Nobody waits for it any more.
            Message::Reply(..) => vec![state.clone()],
        }
    }

    /// A message that never arrives: whoever waits for it gives up.
    fn lose(&self, state: &State, message: Message) -> Vec<State> {
        let about = number_of(message);
        if state.driven.contains(&about) {
            vec![self.learn(state, about, Outcome::Unknown)]
        } else {
            vec![state.clone()]
        }
    }

    /// What an institution may make of an operation that it sees for the first time.
    fn judges(&self, state: &State, n: u8) -> Vec<Booked> {
        let one = state.payment.operation(id(n)).unwrap();
        let asked = one.amount.minor();
        match one.kind {
            Kind::Sale | Kind::Authorise => {
                vec![Booked::Done(asked), Booked::Done(LESS), Booked::Declined]
            }
            _ => {
                let left = self.left(state, one.kind);
                if asked <= left {
                    vec![Booked::Done(asked), Booked::Declined]
                } else {
                    vec![Booked::Declined]
                }
            }
        }
    }

    /// What the institution's own books leave for a movement.
    fn left(&self, state: &State, kind: Kind) -> u64 {
        let [authorised, captured, released, refunded] = sums_of_books(state);
        match kind {
            Kind::Capture | Kind::Void => authorised - captured - released,
            _ => captured - refunded,
        }
    }

    fn is_built_upon(&self, state: &State) -> bool {
        let [_, captured, _, refunded] = sums_of_books(state);
        if self.begins == Kind::Sale { refunded > 0 } else { captured > 0 }
    }

    /// What the server learns of an operation, with the undoing that follows.
    fn learn(&self, state: &State, n: u8, outcome: Outcome) -> State {
        let mut state = state.clone();
        state.driven.remove(&n);
        let stepped = step(&state.payment, &Event::Learnt(id(n), outcome), state.now()).unwrap();
        self.undo(&mut state, stepped);
        state
    }

    fn undo(&self, state: &mut State, stepped: Stepped) {
        state.payment = stepped.payment;
        if !stepped.undo {
            return;
        }
        let Some((kind, amount)) = undoing(&state.payment, self.means) else { return };
        let n = u8::try_from(state.payment.operations.len()).unwrap() + 1;
        let own = NewOperation {
            id: id(n),
            kind,
            amount,
            allow_partial: false,
            give_up_at: None,
            by_server: true,
        };
        if let Ok(stepped) = step(&state.payment, &Event::Begin(own), state.now()) {
            state.payment = stepped.payment;
        }
    }

    /// The worker takes what is open and nobody's (`payments.md` 5).
    fn work(&self, state: &State) -> Vec<State> {
        let mut all = Vec::new();
        for one in &state.payment.operations {
            let n = number(one.id);
            let is_due = one.state.is_open()
                && !matches!(one.state, OperationState::Accepted | OperationState::Reversing(_))
                && !state.driven.contains(&n);
            // More than one message about one thing at a time changes nothing.
            if !is_due || state.under_way.iter().any(|message| number_of(*message) == n) {
                continue;
            }
            let mut taken = state.clone();
            taken.driven.insert(n);
            let first = taken.leased.insert(n);
            if one.kind == Kind::Reverse {
                taken.under_way.push(Message::Reversal(n));
            } else if one.by_server && first {
                taken.under_way.push(Message::Order(n));
            } else if self.inquiry {
                taken.under_way.push(Message::Inquiry(n));
            } else {
                let found = if one.kind.begins_payment() && self.means.reverse {
                    Outcome::Undoable
                } else {
                    Outcome::NeedsHuman
                };
                taken = self.learn(&taken, n, found);
            }
            all.push(taken);
        }
        all
    }

    /// The shop asks for a movement.
    fn ask(&self, state: &State, at: usize) -> Option<State> {
        let kind = self.asks[at];
        if state.asked & (1 << at) != 0 {
            return None;
        }
        let n = u8::try_from(state.payment.operations.len()).unwrap() + 1;
        let wanted = if kind == Kind::Capture { 400 } else { 300 };
        let new = NewOperation {
            id: id(n),
            kind,
            amount: (kind != Kind::Void).then(|| amount(wanted)),
            allow_partial: false,
            give_up_at: None,
            by_server: false,
        };
        let stepped = step(&state.payment, &Event::Begin(new), state.now()).ok()?;
        if stepped.undo && undoing(&stepped.payment, self.means).is_none() {
            return None; // The server refuses what it cannot carry out.
        }
        let mut state = State { asked: state.asked | 1 << at, ..state.clone() };
        let waits = stepped.undo;
        self.undo(&mut state, stepped);
        if !waits {
            state.driven.insert(n);
            state.under_way.push(Message::Order(n));
        }
        Some(state)
    }

    /// Nothing is open but what a person has to decide, and nothing is under way.
    fn has_ended(&self, state: &State) -> bool {
        let open = state.payment.operations.iter().filter(|one| one.state.is_open());
        let mut open = open.map(|one| one.state);
        state.under_way.is_empty() && open.all(|state| self.waits_for_a_person(state))
    }

    fn waits_for_a_person(&self, state: OperationState) -> bool {
        state == OperationState::NeedsHuman && !self.inquiry
    }
}

const fn number_of(message: Message) -> u8 {
    match message {
        Message::Order(n) | Message::Inquiry(n) | Message::Reversal(n) | Message::Reply(n, _) => n,
    }
}

const fn said(booked: Booked) -> Said {
    match booked {
        Booked::Done(moved) => Said::Done(moved),
        Booked::Declined => Said::Declined,
        Booked::NotProcessed => Said::NotProcessed,
        Booked::Reversed => Said::Reversed,
    }
}

/// What a connector makes of what an institution said (`read.rs` of the institution protocol).
fn outcome(state: &State, n: u8, said: Said) -> Outcome {
    let of_reverse = state.payment.operation(id(n)).unwrap().kind == Kind::Reverse;
    match said {
        Said::Reversed | Said::NotFoundForEver if of_reverse => Outcome::Done(amount(WHOLE)),
        Said::Settled => Outcome::Settled,
        Said::Done(moved) => Outcome::Done(amount(moved)),
        Said::Declined => Outcome::Declined(DeclineReason::Other),
        Said::NotProcessed | Said::NotFoundForEver => Outcome::NotSent,
        Said::NotFound => Outcome::Unknown,
        // Only what is being reversed can be answered so, and then nothing hangs on it.
        Said::Reversed => Outcome::NeedsHuman,
    }
}

/// Authorised, captured, released and refunded, as the institution has them.
fn sums_of_books(state: &State) -> [u64; 4] {
    let mut sums = [0; 4];
    for (n, booked) in &state.books {
        let (Booked::Done(moved), Some(one)) = (booked, state.payment.operation(id(*n))) else {
            continue;
        };
        match one.kind {
            Kind::Sale => {
                sums[0] += moved;
                sums[1] += moved;
            }
            Kind::Authorise => sums[0] += moved,
            Kind::Capture => sums[1] += moved,
            Kind::Void => sums[2] += moved,
            Kind::Refund => sums[3] += moved,
            Kind::Reverse => {}
        }
    }
    sums
}

fn sums_here(state: &State) -> [u64; 4] {
    let sums = state.payment.sums;
    [sums.authorised, sums.captured, sums.released, sums.refunded]
}

/// Visits every state, and answers how many there are, and in how many the payment has ended.
fn search(world: World) -> (usize, usize) {
    let mut index: HashMap<State, usize> = HashMap::new();
    let mut states = Vec::new();
    // Who leads where, when nothing goes wrong any more.
    let mut calm: Vec<Vec<usize>> = Vec::new();
    let mut queue = VecDeque::from([world.start()]);
    index.insert(world.start(), 0);
    states.push(world.start());
    calm.push(Vec::new());
    while let Some(state) = queue.pop_front() {
        let from = index[&state];
        check(&world, &state);
        let quiet = world.next(&state, false);
        for next in world.next(&state, true) {
            let known = states.len();
            let to = *index.entry(next.clone()).or_insert(known);
            if to == known {
                states.push(next.clone());
                calm.push(Vec::new());
                queue.push_back(next.clone());
            }
            if quiet.contains(&next) {
                calm[to].push(from);
            }
        }
    }
    // Backwards from the ends: whoever is not met could be stuck for ever.
    let ends = |at: &usize| world.has_ended(&states[*at]);
    let mut met = vec![false; states.len()];
    let mut queue: VecDeque<usize> = (0..states.len()).filter(ends).collect();
    let ended = queue.len();
    while let Some(at) = queue.pop_front() {
        if !std::mem::replace(&mut met[at], true) {
            queue.extend(&calm[at]);
        }
    }
    let stuck = met.iter().position(|met| !met);
    assert!(stuck.is_none(), "{world:?} is stuck in {:#?}", states[stuck.unwrap()]);
    (states.len(), ended)
}

/// What must hold in every state, and more where the payment has ended.
fn check(world: &World, state: &State) {
    let [authorised, captured, released, refunded] = sums_here(state);
    assert!(captured + released <= authorised, "{world:?} {state:#?}");
    assert!(refunded <= captured, "{world:?} {state:#?}");
    let calls = state.payment.operations.iter().filter(|one| one.kind == Kind::Reverse);
    assert!(calls.count() <= 1, "one reversal at most: {state:#?}");
    if !world.has_ended(state) {
        return;
    }
    let person = state.payment.operations.iter().any(|one| world.waits_for_a_person(one.state));
    if !person {
        assert_eq!(sums_here(state), sums_of_books(state), "{world:?} {state:#?}");
    }
}

#[test]
fn no_payment_gets_lost_doubled_or_stuck_in_any_order_of_events() {
    use Kind::{Authorise, Capture, Refund, Sale, Void};
    let all = Means { reverse: true, void: true, refund: true };
    let no_reversal = Means { reverse: false, ..all };
    let none = Means { reverse: false, void: false, refund: false };
    let mut total = 0;
    let mut compared = 0;
    let mut worlds = 0;
    let harm = most_harm();
    for (begins, asks) in [
        (Sale, &[Void][..]),
        (Sale, &[Refund]),
        (Sale, &[Void, Refund]),
        (Authorise, &[Void]),
        (Authorise, &[Capture, Void]),
        (Authorise, &[Capture, Refund]),
    ] {
        for (inquiry, means) in [(true, all), (true, no_reversal), (false, all), (false, none)] {
            for gives_up in [false, true] {
                let world = World { begins, asks, inquiry, means, gives_up, harm };
                let (states, ended) = search(world);
                assert!(ended > 0, "{world:?} has no end that could be compared");
                println!(
                    "states={states} ended={ended} begins={begins} asks={asks:?} inquiry={inquiry} \
                     reverse={} gives_up={gives_up}",
                    means.reverse
                );
                total += states;
                compared += ended;
                worlds += 1;
            }
        }
    }
    println!(
        "search: states={total} ended={compared} worlds={worlds} crashes={harm} faults={harm}"
    );
}
