use std::sync::Arc;

use millstream_compiler::TrainingProgram;
use millstream_schemas::ParameterEntry;

use super::gradient_noise::GradientNoise;
use super::optimizer_state::OptimizerState;
use crate::TrainingError;
use crate::freezing::FreezePlan;
use crate::optimizers::{
    Averaged, Averaging, Lookahead, Optimizer, Penalized, Penalties, SharpnessAware, StateValues, UpdateRule,
    WithL1Decay, WithLookahead, state_of,
};

/// How steps are made.
#[derive(Clone, Debug, Default)]
pub struct StepSettings {
    /// The update rule.
    pub optimizer: Optimizer,
    /// Scale all gradients, those of penalties with them, down together when their joint Euclidean norm is above this.
    pub gradient_clip_norm: Option<f32>,
    /// Cut each number of a gradient to this, either side of 0; behind the scaling by the norm.
    pub gradient_clip_value: Option<f32>,
    /// Terms of the loss of the weights themselves: their gradients are clipped with those of the loss.
    pub penalties: Penalties,
    /// λ of a decay by L1: behind each update the weights that decay become sign(w)·max(|w| − η·λ, 0), with η their rate of the
    /// step; 0 for none.
    pub l1_decay: f32,
    /// The average of the weights that is evaluated and exported in their place.
    pub averaging: Option<Averaging>,
    /// Slow weights beside those that are trained.
    pub lookahead: Option<Lookahead>,
    /// The way uphill that gradients are computed behind. Each step runs its batches twice, with the same masks of dropout; of
    /// several batches each goes its own way.
    pub sharpness_aware: Option<SharpnessAware>,
    /// Noise on gradients.
    pub gradient_noise: Option<GradientNoise>,
    /// When which parameters are frozen.
    pub freezing: FreezePlan,
    /// Look at gradients where the update is nodes of a graph too, so that nothing is updated by those that are no numbers; on
    /// the host they always are.
    pub watch_gradients: bool,
    /// Threads of ONNX Runtime; 0 takes one for each core.
    pub threads: usize,
    /// Seed of what dropout leaves out, and of noise on gradients.
    pub seed: u64,
}

impl StepSettings {
    /// The optimizer's rule with all that is said beside it.
    pub(crate) fn rule(&self) -> Arc<dyn UpdateRule> {
        let rule = Arc::clone(self.optimizer.rule());
        let rule = Penalized::around(rule, self.penalties, self.gradient_clip_value);
        let mut rule = WithL1Decay::around(rule, self.l1_decay);
        if let Some(lookahead) = self.lookahead {
            rule = Arc::new(WithLookahead { rule, lookahead });
        }
        match self.averaging {
            Some(averaging) => Arc::new(Averaged { rule, averaging }),
            None => rule,
        }
    }

    /// Refuses what makes no sense, or not for this program.
    ///
    /// # Errors
    /// The first setting that does not fit, with the values that would.
    pub fn check(&self, program: &TrainingProgram) -> Result<(), TrainingError> {
        let (cohorts, parameters) = (self.freezing.of().len(), &program.manifest.parameters);
        if cohorts > 0 && cohorts != parameters.len() {
            return Err(TrainingError::wrong_count("the plan of what is frozen", parameters.len(), cohorts));
        }
        let limits = [
            ("training.gradient_clip_norm", self.gradient_clip_norm),
            ("training.gradient_clip_value", self.gradient_clip_value),
        ];
        for (name, limit) in limits.into_iter().filter_map(|(name, limit)| Some((name, limit?))) {
            TrainingError::check(name, limit, limit.is_finite() && limit > 0.0, "a number above 0")?;
        }
        let Penalties { l1, l2, l2_sp } = self.penalties;
        for (name, strength) in [
            ("training.penalties.l1", l1),
            ("training.penalties.l2", l2),
            ("training.penalties.l2_sp", l2_sp),
            ("training.l1_decay", self.l1_decay),
        ] {
            TrainingError::check(name, strength, strength.is_finite() && strength >= 0.0, "a number of 0 or more")?;
        }
        if let Some(Lookahead { steps, alpha }) = self.lookahead {
            TrainingError::check("training.lookahead.steps", steps as f32, steps >= 1, "1 or more")?;
            let fits = alpha > 0.0 && alpha <= 1.0;
            TrainingError::check("training.lookahead.alpha", alpha, fits, "a number above 0, at most 1")?;
        }
        if let Some(SharpnessAware { rho, .. }) = self.sharpness_aware {
            let fits = rho.is_finite() && rho > 0.0;
            TrainingError::check("training.sharpness_aware.rho", rho, fits, "a number above 0")?;
        }
        if let Some(GradientNoise { eta, gamma }) = self.gradient_noise {
            let fits = eta.is_finite() && eta > 0.0;
            TrainingError::check("training.gradient_noise.eta", eta as f32, fits, "a number above 0")?;
            let fits = gamma.is_finite() && gamma >= 0.0;
            TrainingError::check("training.gradient_noise.gamma", gamma as f32, fits, "a number of 0 or more")?;
        }
        self.check_l1_decay(program)?;
        let rule = self.optimizer.rule();
        if rule.has_average() {
            if let Some(Lookahead { steps, .. }) = self.lookahead {
                return Err(TrainingError::Setting {
                    name: "training.lookahead",
                    value: format!("{steps} steps"),
                    wanted: "another optimizer beside it: this one has an average of its own",
                });
            }
            if let Some(averaging) = self.averaging {
                return Err(TrainingError::Setting {
                    name: "training.average",
                    value: averaging.name().into(),
                    wanted: "another optimizer beside it: this one has an average of its own",
                });
            }
            if has_statistics_of_last(program) {
                return Err(TrainingError::Setting {
                    name: "training.optimizer",
                    value: self.optimizer.choice().name.clone(),
                    wanted: "another one beside `model.batch_normalization: training`, whose statistics are those of the weights \
                             that are trained, while their average is evaluated; `reestimated` computes them anew",
                });
            }
        }
        rule.check(parameters).map_err(|reason| {
            let optimizer = self.optimizer.choice().name.clone();
            TrainingError::Optimizer { optimizer, reason }
        })?;
        match self.averaging {
            Some(Averaging::Exponential { decay }) => {
                let fits = (0.0..1.0).contains(&decay);
                TrainingError::check("training.average.ema.decay", decay as f32, fits, "0 to below 1")
            }
            Some(Averaging::Equal { .. }) if has_statistics_of_last(program) => Err(average_of("swa")),
            _ => Ok(()),
        }
    }

    /// Refuses a decay by L1 that makes no zeros.
    fn check_l1_decay(&self, program: &TrainingProgram) -> Result<(), TrainingError> {
        let decays = program.manifest.parameters.iter().any(|entry| entry.weight_decay && !entry.is_statistic);
        let wanted = match self.optimizer.rule().has_average() {
            _ if self.l1_decay == 0.0 => return Ok(()),
            true => "another optimizer beside it: what this one exports is an average, which has none of the zeros",
            false if decays => return Ok(()),
            false => {
                "a parameter that decays, and of what is trained none does, as norms and biases do not: `training.decay_all: true` makes \
                 all decay; 0 is none"
            }
        };
        Err(TrainingError::Setting { name: "training.l1_decay", value: self.l1_decay.to_string(), wanted })
    }

    /// What a run of these settings evaluates and exports of a state that it had, in manifest order: the average of the weights
    /// where one is kept and had begun, or the parameters. These too of a state from before the average was kept.
    pub fn evaluated(
        &self,
        entries: &[ParameterEntry],
        parameters: Vec<Vec<f32>>,
        state: &OptimizerState,
    ) -> Vec<Vec<f32>> {
        let rule = self.rule();
        let is_of_rule = |(entry, tensors): (&ParameterEntry, &Vec<StateValues>)| {
            let wanted = state_of(rule.as_ref(), entry);
            let got = tensors.iter().map(|values| (values.len(), values.dtype()));
            wanted.iter().map(|tensor| (tensor.elements(), tensor.start.dtype())).eq(got)
        };
        if !rule.has_average() || !entries.iter().zip(&state.tensors).all(is_of_rule) {
            return parameters;
        }
        state.evaluated((rule.as_ref(), self.averaging), &self.freezing, entries, parameters)
    }

    /// How many bytes are remembered of these parameters, all together.
    pub fn bytes_remembered(&self, parameters: &[ParameterEntry]) -> usize {
        let rule = self.rule();
        let tensors = parameters.iter().flat_map(|entry| state_of(rule.as_ref(), entry));
        tensors.map(|tensor| tensor.bytes()).sum()
    }
}

/// Whether running statistics are those of the last weights, whatever is exported.
pub(crate) fn has_statistics_of_last(program: &TrainingProgram) -> bool {
    !program.reestimates() && program.manifest.parameters.iter().any(|entry| entry.is_statistic)
}

/// That an average has no statistics.
pub(crate) fn average_of(name: &str) -> TrainingError {
    TrainingError::Setting {
        name: "training.average",
        value: name.into(),
        wanted: "`ema` beside `model.batch_normalization: training`, whose statistics are those of the last weights; \
                 `reestimated` computes them anew",
    }
}
