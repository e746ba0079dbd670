//! Models that take adapters as inputs.

use super::*;

#[test]
fn one_model_takes_any_adapter_as_inputs_and_is_itself_without() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    for name in ["dora", "dora_of_tables", "ia3", "vera", "oft", "oft_exact", "boft", "boft_of_eight", "lora_bias"] {
        let taking = taking_adapter(&bert(), &folder(name), &catalog).unwrap();
        let model = taking.model.to_vec();
        assert_near(&scores(&model, Vec::new()), &wanted[""], name);
        assert_near(&scores(&model, as_inputs(&taking.adapter)), &wanted[name], name);
        let there = OnnxAdapter::from_bytes(&taking.adapter.to_bytes().unwrap()).unwrap();
        assert_eq!(there, taking.adapter);
        // what was written is read, by the names of layers as by those of PEFT's modules
        for file in [there, OnnxAdapter::of(&folder(name)).unwrap()] {
            let (merged, _) = merge_adapters(&bert(), &[(&file.adapter().unwrap(), 1.0)], &catalog).unwrap();
            assert_near(&scores(&merged.to_vec(), Vec::new()), &wanted[name], name);
        }
    }
    // the head that it holds whole is in the model; another adapter of another rank goes there too
    let mut lora = folder("lora");
    let taking = taking_adapter(&bert(), &lora, &catalog).unwrap();
    let model = taking.model.to_vec();
    assert_near(&scores(&model, as_inputs(&taking.adapter)), &wanted["lora"], "lora");
    lora.whole.clear();
    lora.biases = adapter_files::Biases::None;
    let taking = taking_adapter(&bert(), &lora, &catalog).unwrap();
    let model = taking.model.to_vec();
    assert_near(&scores(&model, Vec::new()), &wanted[""], "without an adapter");
    let mut of_rank_one = lora.clone();
    for own in of_rank_one.modules.values_mut() {
        let ModuleAdapter::LowRank { a, b, .. } = own else { panic!("{own:?}") };
        *a = Tensor::new([1, a.shape()[1]], &a.values()[..a.shape()[1]]).unwrap();
        *b = Tensor::new([b.shape()[0], 1], &b.values()[..b.shape()[0]]).unwrap();
    }
    let (other, _) = merge_adapters(&bert(), &[(&of_rank_one, 1.0)], &catalog).unwrap();
    let inputs = as_inputs(&taking_adapter(&bert(), &of_rank_one, &catalog).unwrap().adapter);
    assert_near(&scores(&model, inputs), &scores(&other.to_vec(), Vec::new()), "of rank 1");
}

#[test]
fn one_model_takes_each_of_several_adapters_on_different_layers() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    for name in ["lora", "lora_bias", "dora", "ia3", "vera", "oft", "boft"] {
        let bare = Adapter { whole: BTreeMap::new(), biases: adapter_files::Biases::None, ..folder(name) };
        let part = |left_out: &str| {
            let mut part = bare.clone();
            part.without(&|module| module.contains(left_out));
            part
        };
        // the second calls its modules as a part of a larger model does
        let mut parts = [part("layer.0."), part("self.query"), part("layer.1.")];
        let larger = |(module, own): (String, ModuleAdapter)| (format!("larger.{module}"), own);
        parts[1].modules = std::mem::take(&mut parts[1].modules).into_iter().map(larger).collect();
        let shared = taking_adapters(&bert(), &parts.iter().collect::<Vec<_>>(), &catalog).unwrap();
        let model = shared.model.to_vec();
        assert_near(&scores(&model, Vec::new()), &wanted[""], name);
        for (part, file) in parts.iter().zip(&shared.adapters) {
            let (alone, _) = merge_adapters(&bert(), &[(part, 1.0)], &catalog).unwrap();
            let alone = scores(&alone.to_vec(), Vec::new());
            let apart = alone.iter().zip(&wanted[""]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart > 3e-5, "{name}: a part does something");
            assert_near(&scores(&model, as_inputs(file)), &alone, name);
        }
    }
    let (lora, headless) = (folder("lora"), Adapter { whole: BTreeMap::new(), ..folder("lora") });
    let shared = taking_adapters(&bert(), &[&lora, &lora], &catalog).unwrap();
    assert_near(&scores(&shared.model.to_vec(), as_inputs(&shared.adapters[1])), &wanted["lora"], "the same head");
    for (other, words) in [
        (headless, "do not hold the same numbers whole (`bert.encoder.layer.0.attention.self.query.bias`)"),
        (folder("oft"), "one is of LORA and the other of OFT"),
        (folder("dora"), "one has magnitudes (DoRA) and the other none"),
    ] {
        let error = taking_adapters(&bert(), &[&lora, &other], &catalog).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("adapters 1 (rsLoRA of ranks 2 to 3"), "{error}");
    }
}

#[test]
fn one_model_takes_adapters_of_vera_of_other_ranks_and_on_layers_of_other_sizes() {
    if !onnx_runtime::available() {
        return;
    }
    let (catalog, wanted) = (OperatorCatalog::standard(), scores_of_peft());
    let bare = Adapter { whole: BTreeMap::new(), biases: adapter_files::Biases::None, ..folder("vera") };
    let [a, b] = ["vera_A", "vera_B"].map(|name| bare.shared[name].clone());
    let (rank, hidden) = (a.shape()[0], a.shape()[1]);
    // for more inputs than any of its layers has
    let mut wide = bare.clone();
    let rows = a.values().chunks(hidden);
    let longer: Vec<f32> = rows.flat_map(|row| row.iter().copied().chain([1.0; 3])).collect();
    wide.shared.insert("vera_A".to_owned(), Tensor::new([rank, hidden + 3], longer).unwrap());
    let mut narrow = bare;
    narrow.without(&|module| module.contains("intermediate"));
    let rows = b.values().chunks(rank).take(hidden);
    let of_two: Vec<f32> = rows.flat_map(|row| row[..2].to_vec()).collect();
    narrow.shared.insert("vera_A".to_owned(), Tensor::new([2, hidden], &a.values()[..2 * hidden]).unwrap());
    narrow.shared.insert("vera_B".to_owned(), Tensor::new([hidden, 2], of_two).unwrap());
    for own in narrow.modules.values_mut() {
        let ModuleAdapter::Vectors { of_rank, .. } = own else { panic!("{own:?}") };
        *of_rank = Tensor::vector(&of_rank.values()[..2]);
    }
    for parts in [[&wide, &narrow], [&narrow, &wide]] {
        let shared = taking_adapters(&bert(), &parts, &catalog).unwrap();
        let model = shared.model.to_vec();
        assert_near(&scores(&model, Vec::new()), &wanted[""], "without an adapter");
        for (part, file) in parts.into_iter().zip(&shared.adapters) {
            let (alone, _) = merge_adapters(&bert(), &[(part, 1.0)], &catalog).unwrap();
            assert_near(&scores(&model, as_inputs(file)), &scores(&alone.to_vec(), Vec::new()), &part.in_words());
        }
    }
}
