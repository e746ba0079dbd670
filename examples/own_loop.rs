//! A training loop of your own: declare transforms, stream a dataset through them, step a pretrained model.
//!
//! `cargo run --release --example own_loop -- 'flowers-train-*.parquet' mobilenet.onnx tuned.onnx`; behind it the side of the model's images
//! where that is not 224.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anyhow::Context;
use millstream::runtime::{Device, DeviceRequest, ready};
use millstream::training::{StepRunner, StepSettings};
use millstream::{
    Batches, Chain, Choice, Dataset, Encoders, FineTuning, Model, OperatorCatalog, StreamOptions, compile,
};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("usage: own_loop DATA.parquet MODEL.onnx TUNED.onnx [SIZE]");
    let (data, pretrained, tuned) = (next()?, next()?, next()?);
    let size =
        arguments.next().map_or(Ok(224), |size| size.parse::<u32>()).context("SIZE is a whole number of pixels")?;

    let chain = Chain::parse(&[
        Choice::new("random_resized_crop", json!({"size": size})),
        Choice::new("horizontal_flip", json!({})),
        Choice::new("normalize", json!({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]})),
    ])?;
    let dataset = Dataset::open(&data, ".".as_ref())?;
    let encoders = Encoders::standard(&dataset, None, "label")?;
    let fine_tuning = FineTuning::head(16, encoders.classes().len());
    let program = compile(&Model::read(pretrained.as_ref())?, &fine_tuning, &OperatorCatalog::standard())?;

    let device = Device::resolve(DeviceRequest::Auto, ready(None)?)?;
    let mut runner = StepRunner::open(&program, &device, &StepSettings::default())?;
    let encoders = encoders.renamed("input", &program.manifest.inputs[0].name);
    let options = StreamOptions { epochs: 3, batch: 16, ..StreamOptions::new(chain, encoders) };
    let mut batches = Batches::open(&dataset, options, None)?;
    let (mut epoch, mut row) = (1, 1);
    while let Some(batch) = batches.next().transpose()? {
        let (batch, outcome) = runner.step(batch, 1e-3)?;
        println!("epoch {epoch}, from row {row}: loss {:.4}", outcome.loss);
        // where the next batch begins, counted from 0
        (epoch, row) = (batch.resume.epoch + 1, batch.resume.position + 1);
    }
    program.export(&runner.parameters()?, &[])?.write_to(&mut std::fs::File::create(&tuned)?)?;
    println!("{tuned} opens in any ONNX Runtime");
    Ok(())
}
