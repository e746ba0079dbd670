//! What comes of a program when its parameters are trained: the tuned model, and what methods have added as adapters.

use millstream_schemas::recipe::AdaptersOutput;

use super::TrainingProgram;
use crate::CompilerError;
use crate::adapter_files::Adapter;
use crate::finetuning::{divide_scores, maker_of_scores};
use crate::graph::{Constant, Graph};
use crate::model_file::OnnxFile;
use crate::peft_plan::{Mergeable, PeftPlan, Trained};
use crate::trained_adapters::refuse;

impl TrainingProgram {
    /// The tuned model: the pretrained graph with these parameters (manifest order) and the new head. What
    /// methods have added is merged into the model's own weights, where that is possible.
    ///
    /// # Errors
    /// The parameters are not as many or not as long as the manifest says, or too large for the type that the model stores
    /// them as.
    pub fn export(&self, parameters: &[Vec<f32>], metadata: &[(String, String)]) -> Result<OnnxFile, CompilerError> {
        self.export_with(parameters, AdaptersOutput::Merged, metadata)
    }

    /// As [`TrainingProgram::export`]; what methods have added stands where it is said.
    ///
    /// # Errors
    /// The parameters are not as many or not as long as the manifest says, or too large for the type that the model stores
    /// them as.
    pub fn export_with(
        &self,
        parameters: &[Vec<f32>],
        adapters: AdaptersOutput,
        metadata: &[(String, String)],
    ) -> Result<OnnxFile, CompilerError> {
        self.written(parameters, adapters, None, metadata)
    }

    /// The model without what methods have added: with the new head, and whatever else of its own was trained.
    ///
    /// # Errors
    /// As [`TrainingProgram::export_with`].
    pub fn export_without_adapters(
        &self,
        parameters: &[Vec<f32>],
        metadata: &[(String, String)],
    ) -> Result<OnnxFile, CompilerError> {
        let trained = self.trained(parameters)?;
        let mut graph = self.merged.clone();
        for (value, constant) in trained.iter().filter(|(value, _)| self.merged.contains(**value)) {
            graph.set_constant(*value, constant.clone());
        }
        self.fold(&mut graph, &trained);
        OnnxFile::new(self.header.signed(metadata).with(&graph.as_stored()?))
    }

    /// What methods have added, with these parameters (manifest order), as files of adapters hold it: one for each method.
    /// Modules have the names of layers without the front that all layers of the file share. What else was trained is
    /// held whole by the first.
    ///
    /// # Errors
    /// No method adds anything, one has no form in such files, or something is trained that they cannot hold.
    pub fn adapters(&self, parameters: &[Vec<f32>]) -> Result<Vec<Adapter>, CompilerError> {
        self.adapters.adapters(&self.trained(parameters)?, self.mergeable())
    }

    /// As [`TrainingProgram::adapters`], for folders of PEFT, and what is other in them, in words. PEFT takes a module for one that is
    /// held whole where its path ends like that one's; it is held whole then too, with all of its parameters, and what was
    /// added to it is merged.
    ///
    /// # Errors
    /// As of [`TrainingProgram::adapters`]; what was added to such a module cannot be merged, or was all that was added.
    pub fn peft_adapters(&self, parameters: &[Vec<f32>]) -> Result<(Vec<Adapter>, Vec<String>), CompilerError> {
        let (trained, plan) = (self.trained(parameters)?, self.peft_plan()?);
        let adapters = plan.adapters.iter().map(|plan| plan.made(&self.adapters.files, &trained, self.mergeable()));
        Ok((adapters.collect(), plan.notes.clone()))
    }

    /// What folders of PEFT hold otherwise than it was trained, in words. It takes no numbers to tell.
    ///
    /// # Errors
    /// As of [`TrainingProgram::peft_adapters`].
    pub fn peft_notes(&self) -> Result<Vec<String>, CompilerError> {
        Ok(self.peft_plan()?.notes.clone())
    }

    /// What folders of PEFT hold, planned once.
    fn peft_plan(&self) -> Result<&PeftPlan, CompilerError> {
        let planned = self.peft.get_or_init(|| self.adapters.plan_for_peft(self.mergeable()));
        planned.as_ref().or_else(|message| refuse(message.clone()))
    }

    fn mergeable(&self) -> Mergeable<'_> {
        (&self.merged, &self.merges)
    }

    /// Says before a run whether [`TrainingProgram::peft_adapters`] will give something, or else [`taking_adapter`] where `as_inputs`.
    ///
    /// [`taking_adapter`]: crate::taking_adapter
    ///
    /// # Errors
    /// As of those.
    pub fn require_adapters(&self, as_inputs: bool) -> Result<(), CompilerError> {
        if !as_inputs {
            return self.peft_plan().map(drop);
        }
        self.adapters.require_inputs((&self.deployed, &self.merged))
    }

    /// What stands in front of the paths of modules in the names of all layers of the file, where something does.
    pub fn wrapper(&self) -> Option<&str> {
        self.adapters.wrapper.as_deref()
    }

    /// As [`TrainingProgram::export_with`]; the scores, before any softmax or sigmoid, are divided by a temperature above 0.
    ///
    /// # Errors
    /// As [`TrainingProgram::export_with`]; the temperature is no number above 0, or it is to divide an input or a constant.
    pub fn export_calibrated(
        &self,
        parameters: &[Vec<f32>],
        adapters: AdaptersOutput,
        temperature: f32,
        metadata: &[(String, String)],
    ) -> Result<OnnxFile, CompilerError> {
        self.written(parameters, adapters, Some(temperature), metadata)
    }

    /// Says before a run whether [`TrainingProgram::export_calibrated`] will find the scores that it divides.
    ///
    /// # Errors
    /// They are an input or a constant.
    pub fn require_temperature(&self, adapters: AdaptersOutput) -> Result<(), CompilerError> {
        let graph = match adapters {
            AdaptersOutput::Merged => &self.merged,
            AdaptersOutput::Unmerged => &self.deployed,
        };
        maker_of_scores(graph, &self.scores).map(drop)
    }

    /// The tuned model's file; `temperature`: what scores are divided by.
    fn written(
        &self,
        parameters: &[Vec<f32>],
        adapters: AdaptersOutput,
        temperature: Option<f32>,
        metadata: &[(String, String)],
    ) -> Result<OnnxFile, CompilerError> {
        let trained = self.trained(parameters)?;
        let mut graph = self.tuned(&trained, adapters);
        let of_adapters = self.adapters.metadata(&trained, &graph, self.mergeable());
        if let Some(temperature) = temperature {
            divide_scores(&mut graph, &self.scores, temperature)?;
        }
        let metadata: Vec<(String, String)> = metadata.iter().cloned().chain(of_adapters).collect();
        OnnxFile::new(self.header.signed(&metadata).with(&graph.as_stored()?))
    }

    /// The graph of the tuned model.
    fn tuned(&self, trained: &Trained, adapters: AdaptersOutput) -> Graph {
        let (mut graph, merges) = match adapters {
            AdaptersOutput::Merged => (self.merged.clone(), self.merges.as_slice()),
            AdaptersOutput::Unmerged => (self.deployed.clone(), [].as_slice()),
        };
        for (value, constant) in trained {
            if graph.contains(*value) {
                graph.set_constant(*value, constant.clone());
            }
        }
        if adapters == AdaptersOutput::Merged {
            self.fold(&mut graph, trained);
        }
        for merge in merges {
            let beside: Vec<&Constant> = merge.trained.iter().map(|value| &trained[value]).collect();
            let own = graph.constant_of(merge.weight).expect("methods merge into constants");
            let merged = (merge.rule)(own, &beside);
            graph.set_constant(merge.weight, merged);
        }
        graph
    }

    /// Lets what is computed of trained weights alone be a constant.
    fn fold(&self, graph: &mut Graph, trained: &Trained) {
        for folded in &self.folded {
            let own: Vec<&Constant> = folded.trained.iter().map(|value| &trained[value]).collect();
            graph.replace_by_constant(folded.value, (folded.rule)(&own));
        }
    }

    /// Parameters as constants of the model.
    fn trained(&self, parameters: &[Vec<f32>]) -> Result<Trained, CompilerError> {
        if parameters.len() != self.manifest.parameters.len() {
            return Err(CompilerError::Selection(format!(
                "{} parameters given, the program has {}",
                parameters.len(),
                self.manifest.parameters.len()
            )));
        }
        let mut trained = Trained::new();
        for (entry, values) in self.manifest.parameters.iter().zip(parameters) {
            if values.len() != entry.shape.iter().product::<usize>() {
                return Err(CompilerError::Selection(format!(
                    "parameter `{}` has shape {:?} and {} values were given",
                    entry.name,
                    entry.shape,
                    values.len()
                )));
            }
            let value = self.deployed.find(&entry.name).expect("parameters are constants of the deployed model");
            trained.insert(value, Constant::f32(entry.shape.clone(), values));
        }
        Ok(trained)
    }
}
