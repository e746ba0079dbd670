//! Rows from outside: a proposer and a stopping rule that this crate does not know.

use millstream_schemas::Choice;
use millstream_schemas::choice::Options;
use millstream_search::proposers::{self, Proposal, ProposerFunction, ProposerKind, Request};
use millstream_search::stopping::{self, Course, Decision, StoppingFunction, StoppingKind};
use millstream_search::{Asked, Catalogs, Objective, Outcome, SharedStudy, Sharing, Space, Study, StudySettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Proposes the best settings so far, each moved a little.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Climb {
    /// How far each moves, as a share of its range.
    reach: f64,
}

impl Options for Climb {
    fn validate(&self) -> Result<(), String> {
        millstream_schemas::choice::between("reach", self.reach, 0.0, 1.0)
    }
}

impl ProposerFunction for Climb {
    fn check(&self, _: &Space, objectives: &[Objective]) -> Result<(), String> {
        proposers::one_objective("climb", objectives)
    }

    fn propose(&self, request: &Request<'_>) -> Option<Proposal> {
        let Some(best) = request.history.best() else { return Some(request.drawn().into()) };
        let mut assignment = best.assignment.clone();
        let mut random = request.random("climb");
        for parameter in request.space.parameters() {
            let Some(setting) = assignment.get(&parameter.name) else { continue };
            let moved = parameter.distribution.unit(setting) + self.reach * random.normal();
            assignment.set(&parameter.name, parameter.distribution.at(moved.clamp(0.0, 1.0)));
        }
        Some(Proposal { assignment, note: json!({"from": best.number}) })
    }
}

const CLIMB: ProposerKind = ProposerKind {
    name: "climb",
    summary: "The best settings so far, each moved a little.",
    documentation: "For the test of the extension.",
    samples: &[r#"{"reach": 0.05}"#],
    build: proposers::Build::of::<Climb>(),
};

/// Stops at a step.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct At {
    /// The step.
    step: u64,
}

impl Options for At {
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }
}

impl StoppingFunction for At {
    fn decide(&self, course: &Course<'_>) -> Decision {
        if course.step() >= self.step { Decision::Stop } else { Decision::Continue }
    }
}

const AT: StoppingKind = StoppingKind {
    name: "at",
    summary: "Stops at a step.",
    documentation: "For the test of the extension.",
    samples: &[r#"{"step": 3}"#],
    build: stopping::Build::of::<At>(),
};

fn catalogs() -> Catalogs {
    let Catalogs { proposers, stopping } = Catalogs::default();
    Catalogs { proposers: proposers.with(CLIMB), stopping: stopping.with(AT) }
}

fn settings() -> StudySettings {
    let (space, _) = Space::extract(&json!({"x": {"uniform": [-1, 1]}, "y": {"uniform": [-1, 1]}})).unwrap();
    let mut settings = StudySettings::new("outside", space, vec![Objective::minimize("distance")]);
    settings.proposer = Choice::new("climb", json!({"reach": 0.1}));
    settings.stopping = vec![Choice::new("at", json!({"step": 2}))];
    settings
}

#[test]
fn rows_from_outside_are_used_and_written_into_the_journal() {
    assert!(Study::new(settings(), &Catalogs::default()).is_err());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.jsonl");
    let mut study = SharedStudy::open(&path, settings(), &catalogs(), Sharing::default()).unwrap();
    for number in 0..60 {
        let Asked::Trial(trial) = study.ask().unwrap() else { panic!("there is always another") };
        let (x, y) = (trial.assignment.get("x").unwrap(), trial.assignment.get("y").unwrap());
        assert_eq!(study.report(trial.number, 1, 0.0).unwrap(), Decision::Continue);
        if number == 50 {
            assert_eq!(study.report(trial.number, 2, 0.0).unwrap(), Decision::Stop);
            study.tell(trial.number, Outcome::Stopped).unwrap();
        } else {
            study.tell(trial.number, Outcome::complete((x - 0.3).abs() + (y + 0.6).abs())).unwrap();
        }
    }
    let read = SharedStudy::read(&path, &catalogs()).unwrap();
    assert!(read.best().unwrap().values[0] < 0.1);
    assert!(read.trials()[59].note["from"].is_u64());
    let error = SharedStudy::read(&path, &Catalogs::default()).unwrap_err().to_string();
    assert!(error.starts_with("search.proposer: unknown proposer `climb`"), "{error}");
}
