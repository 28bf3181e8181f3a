//! A concurrent load: many clients that ask without a pause, each one statement at a time, for a given time.
//!
//! Times are those that a client waits, from sending a statement to its last row. Clients are a closed loop: a slow server
//! is asked less, so the report tells how many statements were answered beside how long they took.

mod report;

pub use report::{ClassReport, LoadReport};

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqe_core::{Error, Result};
use tokio::task::JoinSet;

/// A client of an engine, with a connection of its own.
#[async_trait]
pub trait LoadClient: Debug + Send + Sync + 'static {
    /// Runs a statement to its last row and gives the number of rows.
    ///
    /// # Errors
    /// Whatever the engine says. The load counts it by its kind and goes on.
    async fn run(&self, sql: &str) -> Result<u64>;
}

/// Statements of one sort.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Class {
    /// Its key in the report.
    pub name: String,
    /// How often it is chosen, beside the weights of the others.
    pub weight: u32,
    /// Its texts, of which each time one is chosen. `{key}` in them stands for a whole number from 1 to [`Load::keys`].
    pub statements: Vec<String>,
}

impl Class {
    /// Statements that are chosen so often.
    pub fn new<S: Into<String>>(name: impl Into<String>, weight: u32, statements: impl IntoIterator<Item = S>) -> Self {
        Self { name: name.into(), weight, statements: statements.into_iter().map(Into::into).collect() }
    }
}

/// What is asked, and for how long.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Load {
    /// What there is to choose from.
    pub classes: Vec<Class>,
    /// For how long new statements are sent. Those under way then are waited for.
    pub time: Duration,
    /// The greatest number that stands for `{key}`.
    pub keys: u64,
    /// The same seed makes every client choose the same statements in the same order.
    pub seed: u64,
}

impl Load {
    /// A load of these classes.
    #[must_use]
    pub fn new(classes: Vec<Class>, time: Duration) -> Self {
        Self { classes, time, keys: 1, seed: 1 }
    }

    /// Sets the greatest number that stands for `{key}`.
    #[must_use]
    pub fn with_keys(mut self, keys: u64) -> Self {
        self.keys = keys.max(1);
        self
    }

    /// Lets all clients ask at once.
    ///
    /// # Errors
    /// `InvalidInput` if there is nothing to choose from.
    pub async fn run(self, clients: Vec<Arc<dyn LoadClient>>) -> Result<LoadReport> {
        let empty = self.classes.iter().any(|class| class.statements.is_empty());
        if clients.is_empty() || empty || self.classes.iter().all(|class| class.weight == 0) {
            return Err(Error::invalid("a load needs a client, and classes with a weight and with statements"));
        }
        let count = clients.len();
        let load = Arc::new(self);
        let begin = Instant::now();
        let mut running = JoinSet::new();
        for (number, client) in clients.into_iter().enumerate() {
            running.spawn(Arc::clone(&load).client(client, number as u64, begin));
        }
        let mut all: BTreeMap<String, Samples> = BTreeMap::new();
        while let Some(ended) = running.join_next().await {
            let ended = ended.map_err(|error| Error::internal("a client of the load failed").with_source(error))?;
            for (name, samples) in ended {
                all.entry(name).or_default().add(samples);
            }
        }
        Ok(LoadReport::new(count, begin.elapsed(), all))
    }

    async fn client(
        self: Arc<Self>,
        client: Arc<dyn LoadClient>,
        number: u64,
        begin: Instant,
    ) -> BTreeMap<String, Samples> {
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_add(number));
        let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
        while begin.elapsed() < self.time {
            let Some((class, sql)) = self.choose(&mut random) else { break };
            let sent = Instant::now();
            let answer = client.run(&sql).await;
            samples.entry(class.to_owned()).or_default().take(sent.elapsed(), answer);
        }
        samples
    }

    /// The name of a class and one of its statements.
    fn choose(&self, random: &mut StdRng) -> Option<(&str, String)> {
        let mut left = random.random_range(0..self.classes.iter().map(|class| class.weight).sum());
        let class = self.classes.iter().find(|class| {
            let here = left < class.weight;
            left = left.saturating_sub(class.weight);
            here
        })?;
        let statement = class.statements.get(random.random_range(0..class.statements.len()))?;
        Some((&class.name, statement.replace("{key}", &random.random_range(1..=self.keys).to_string())))
    }
}

/// What clients saw of one class.
#[derive(Debug, Default)]
struct Samples {
    seconds: Vec<f64>,
    rows: u64,
    /// By kind.
    errors: BTreeMap<&'static str, u64>,
    /// The words of the first error of each kind.
    words: BTreeMap<&'static str, String>,
}

impl Samples {
    fn take(&mut self, elapsed: Duration, answer: Result<u64>) {
        match answer {
            Ok(rows) => {
                self.seconds.push(elapsed.as_secs_f64());
                self.rows += rows;
            }
            Err(error) => {
                let kind = error.kind().as_str();
                *self.errors.entry(kind).or_default() += 1;
                self.words.entry(kind).or_insert_with(|| error.message().to_owned());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.seconds.extend(other.seconds);
        self.rows += other.rows;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        for (kind, words) in other.words {
            self.words.entry(kind).or_insert(words);
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use sqe_core::ErrorKind;

    use super::*;

    #[derive(Debug, Default)]
    struct Fake {
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl LoadClient for Fake {
        async fn run(&self, sql: &str) -> Result<u64> {
            tokio::task::yield_now().await;
            self.asked.lock().push(sql.to_owned());
            match sql {
                "full" => Err(Error::exhausted("the queue is full")),
                "broken" => Err(Error::internal("broken")),
                _ => Ok(2),
            }
        }
    }

    fn load(classes: Vec<Class>) -> Load {
        Load::new(classes, Duration::from_millis(50)).with_keys(3)
    }

    #[tokio::test]
    async fn every_class_is_asked_by_its_weight_and_errors_are_counted_by_kind() {
        let fake = Arc::new(Fake::default());
        let classes = vec![
            Class::new("often", 9, ["key {key}"]),
            Class::new("seldom", 1, ["full", "broken"]),
            Class::new("never", 0, ["never"]),
        ];
        let clients = vec![Arc::clone(&fake) as Arc<dyn LoadClient>, Arc::clone(&fake) as _];
        let report = load(classes).run(clients).await.unwrap();
        let asked = fake.asked.lock();
        let count = |sql: &str| asked.iter().filter(|asked| *asked == sql).count() as u64;
        assert_eq!((report.clients, report.statements), (2, asked.len() as u64));
        let often = &report.classes["often"];
        assert_eq!(often.answered, count("key 1") + count("key 2") + count("key 3"));
        assert!(count("key 1") > 0 && count("key 2") > 0 && count("key 3") > 0, "{asked:?}");
        assert_eq!(often.rows, 2 * often.answered);
        assert!(often.p50_seconds <= often.p95_seconds && often.p95_seconds <= often.p99_seconds);
        let seldom = &report.classes["seldom"];
        assert_eq!(seldom.errors["resource_exhausted"], count("full"));
        assert_eq!(seldom.errors["internal"], count("broken"));
        assert!(often.answered > count("full") + count("broken"));
        assert!(!report.classes.contains_key("never"));
        assert_eq!(report.refused, count("full"), "admission's refusals are no failures");
        assert_eq!(report.failed, count("broken"));
    }

    #[tokio::test]
    async fn a_load_of_nothing_is_refused() {
        let client = || vec![Arc::new(Fake::default()) as Arc<dyn LoadClient>];
        for (classes, clients) in [
            (vec![Class::new("a", 1, ["x"])], vec![]),
            (vec![], client()),
            (vec![Class::new("a", 0, ["x"])], client()),
            (vec![Class::new("a", 1, Vec::<String>::new())], client()),
        ] {
            assert_eq!(load(classes).run(clients).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        load(vec![Class::new("a", 1, ["x"])]).run(client()).await.unwrap();
    }
}
