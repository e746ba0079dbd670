use millstream_schemas::Fingerprint;
use millstream_schemas::recipe::{ByteSize, DamagedPolicy, OrderStrength, SamplingRecipe, TransparencyPolicy};
use millstream_transforms::Chain;

use crate::Monitor;
use crate::encodings::Encoders;
use crate::shared_resources::SharedResources;

/// What a stream does with a dataset.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// Seed of order and augmentation.
    pub seed: u64,
    /// Passes over the rows.
    pub epochs: u64,
    /// Rows a batch; at least 1.
    pub batch: usize,
    /// How strongly the order is shuffled each epoch.
    pub order: OrderStrength,
    /// Row groups that are shuffled together under [`OrderStrength::Windowed`]; at least 1.
    pub window: usize,
    /// Put rows of like lengths into one batch, so that little of it is padding; by itself where rows have lengths of their
    /// own. Their lengths are learned by reading them once, before the first batch.
    pub group_by_length: Option<bool>,
    /// How often rows of each class come, where not each comes once in an epoch; then any row comes anywhere, whatever `order`
    /// says. Their classes are learned by reading them once, before the first batch.
    pub sampling: Option<SamplingRecipe>,
    /// Threads that decode and transform; 0 takes one for each core.
    pub workers: usize,
    /// Ceiling on the bytes held: rows as stored, images being decoded, batches not yet handed out. An image may take a
    /// quarter of it, to be decoded and transformed; whether it is too large depends on nothing else.
    pub memory: ByteSize,
    /// Another stream under the same ceiling.
    pub beside: Beside,
    /// Whether a stream that comes later decodes images although this one does not: a quarter of the ceiling is left for it.
    pub images_beside: bool,
    /// What this stream has in common with others. Then `workers` does not count, and `memory` only says which images are
    /// too large, so that the same rows are left out as without.
    pub shared: Option<SharedResources>,
    /// What to do with a row that cannot be used.
    pub damaged: DamagedPolicy,
    /// What to do with transparent pixels.
    pub transparency: TransparencyPolicy,
    /// Leave out the last, incomplete batch of an epoch.
    pub drop_last: bool,
    /// How many epochs have draws of their own: the epoch e has those of the epoch e modulo it, whenever a row comes in it. All of them
    /// without, and each time that a row comes.
    pub draws: Option<u64>,
    /// What happens to each row and batch.
    pub chain: Chain,
    /// Which columns are read, and what tensors are made of them.
    pub encoders: Encoders,
}

/// Whether a stream has its ceiling on memory to itself. Two streams may share one, as those of training and evaluation
/// do: each goes on when the other stands still, since neither waits for what the other holds.
#[derive(Clone, Debug, Default)]
pub enum Beside {
    /// To itself.
    #[default]
    Nothing,
    /// A second stream comes later, and needs at least this ([`StreamOptions::least_memory`]).
    Later(ByteSize),
    /// This is the second stream; the first was opened with `Later` and the same ceiling.
    Stream(Monitor),
}

impl StreamOptions {
    /// The defaults of a recipe: one epoch, batches of 16, windowed order over 4 row groups, 1 GiB, damaged rows fail.
    pub fn new(chain: Chain, encoders: Encoders) -> Self {
        Self {
            seed: 0,
            epochs: 1,
            batch: 16,
            order: OrderStrength::default(),
            window: 4,
            group_by_length: None,
            sampling: None,
            workers: 0,
            memory: ByteSize::default(),
            beside: Beside::Nothing,
            images_beside: false,
            shared: None,
            damaged: DamagedPolicy::default(),
            transparency: TransparencyPolicy::default(),
            drop_last: false,
            draws: None,
            chain,
            encoders,
        }
    }

    /// With the order in which rows come: where they come by their classes, any row comes anywhere.
    pub(crate) fn in_own_order(self) -> Self {
        Self { order: self.own_order(), ..self }
    }

    fn own_order(&self) -> OrderStrength {
        if self.sampling.is_some() { OrderStrength::Global } else { self.order }
    }

    /// Of everything that decides order and bytes; the seed is kept apart. Where files of encodings lie decides nothing.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_by(self.encoders.fingerprint())
    }

    /// Whether the fingerprint of a resume point is that of these options: [`StreamOptions::fingerprint`], or what earlier versions
    /// took for it, in which it counted too where files of encodings lie.
    pub fn is_of(&self, recipe: &Fingerprint) -> bool {
        let earlier = || Some(self.fingerprint_by(self.encoders.fingerprint_with_places()?));
        *recipe == self.fingerprint() || earlier().is_some_and(|earlier| *recipe == earlier)
    }

    fn fingerprint_by(&self, encoders: Fingerprint) -> Fingerprint {
        let order = (self.own_order(), self.window, self.batch, self.drop_last, self.group_by_length);
        let all = (encoders, self.chain.fingerprint(), order, self.transparency);
        match (&self.sampling, self.draws) {
            (None, None) => Fingerprint::of(&all),
            (Some(sampling), None) => Fingerprint::of(&(all, sampling)),
            (sampling, Some(draws)) => Fingerprint::of(&(all, sampling, draws)),
        }
    }
}
