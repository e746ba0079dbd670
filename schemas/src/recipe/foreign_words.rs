//! Words of other tools, and what stands for them in a recipe.

/// Keys of other tools.
pub(super) struct ForeignKey {
    /// Lower case, `_` between words.
    pub(super) words: &'static [&'static str],
    /// The place in a recipe; empty when a recipe has nothing of the kind.
    pub(super) place: &'static str,
    /// A value for that place, as it would be written.
    pub(super) example: &'static str,
    /// What is different here, if that needs words.
    pub(super) remark: &'static str,
}

const fn key(
    words: &'static [&'static str],
    place: &'static str,
    example: &'static str,
    remark: &'static str,
) -> ForeignKey {
    ForeignKey { words, place, example, remark }
}

/// Keys below one place of a recipe that mean something else than they do elsewhere.
#[rustfmt::skip]
pub(super) const INSIDE: &[(&str, ForeignKey)] = &[
    ("transforms", key(&["val", "valid", "validation", "eval", "test", "dev", "inference"], "transforms.evaluate", "[{resize: {size: 224}}]", "")),
    ("transforms", key(&["training"], "transforms.train", "[horizontal_flip]", "")),
    ("training.optimizer", key(&["name", "type", "kind", "method", "class", "_target_"], "training.optimizer", "{adamw: {learning_rate: 0.001}}", "the name is the key, and its options stand below it")),
    ("training.optimizer", key(&["adam"], "training.optimizer", "{adamw: {weight_decay: 0}}", "Adam is AdamW without weight decay")),
    ("training.schedule", key(&["name", "type", "kind", "method", "class", "_target_"], "training.schedule", "{cosine: {warmup: 0.1}}", "the name is the key, and its options stand below it")),
    ("model.train", key(&["layers", "patterns", "names", "only"], "model.train", "{match: ['layer4.*']}", "")),
    ("model", key(&["name", "file", "model", "pretrained", "checkpoint", "weights", "onnx", "onnx_path", "url", "backbone"], "model.path", "model.onnx", "")),
    ("output", key(&["path", "dir", "directory", "output_dir", "name", "run"], "output.folder", "runs/run", "")),
    ("data", key(&["path", "name", "file", "files", "dir", "folder", "directory", "url", "train_path", "train_files", "training"], "data.train", "photos/train-*.parquet", "")),
];

#[rustfmt::skip]
pub(super) const KEYS: &[ForeignKey] = &[
    key(&["lr", "base_lr", "initial_lr", "init_lr", "lr0", "max_lr", "peak_lr", "step_size", "alpha_lr", "eta", "learningrate"], "training.optimizer.adamw.learning_rate", "0.001", ""),
    key(&["wd", "decay", "l2", "weightdecay"], "training.optimizer.adamw.weight_decay", "0.01", ""),
    key(&["eps", "adam_epsilon"], "training.optimizer.adamw.epsilon", "1.0e-8", ""),
    key(&["adam_beta1"], "training.optimizer.adamw.beta1", "0.9", ""),
    key(&["betas", "adam_beta2"], "training.optimizer.adamw.beta2", "0.999", "`beta1` and `beta2` are two keys"),
    key(&["optim", "optimiser", "optimizer_name", "optimizer_type", "opt"], "training.optimizer", "adamw", ""),
    key(&["scheduler", "lr_scheduler", "lr_schedule", "lr_scheduler_type", "lr_policy", "sched", "scheduler_type"], "training.schedule", "cosine", ""),
    key(&["warmup_steps", "warmup_ratio", "warmup_epochs", "num_warmup_steps", "warm_up", "warmup_proportion", "warmup_iters"], "training.schedule.cosine.warmup", "0.1", "it is a share of all steps"),
    key(&["num_epochs", "max_epochs", "num_train_epochs", "n_epochs", "nb_epochs", "nb_epoch", "epoch", "total_epochs", "n_epoch"], "training.epochs", "5", ""),
    key(&["steps", "max_steps", "num_steps", "total_steps", "iterations", "max_iter", "max_iters", "num_iterations"], "training.epochs", "5", "the length is counted in passes over the rows"),
    key(&["grad_clip", "gradient_clip", "gradient_clipping", "max_grad_norm", "clip_grad_norm", "clip_grad", "gradient_clip_val", "clipnorm", "grad_norm", "max_norm"], "training.gradient_clip_norm", "1.0", ""),
    key(&["smoothing", "label_smooth", "ls"], "training.label_smoothing", "0.1", ""),
    key(&["llrd", "layer_lr_decay", "layerwise_lr_decay", "layer_wise_lr_decay", "lr_decay_rate", "discriminative_lr"], "training.layer_decay", "0.9", ""),
    key(&["lr_multipliers", "lr_mult", "param_groups", "parameter_groups", "paramwise_cfg"], "training.learning_rate_multipliers", "[{match: 'layer4.*', multiplier: 0.1}]", ""),
    key(&["gpu", "gpus", "gpu_id", "gpu_ids", "cuda", "use_cuda", "use_gpu", "accelerator", "devices", "num_gpus", "n_gpu", "cuda_device"], "training.device", "cuda", "one device trains; `cuda:1` is the second"),
    key(&["no_cuda", "use_cpu", "cpu"], "training.device", "cpu", ""),
    key(&["num_threads", "nthreads", "n_threads", "intra_op_num_threads", "cpu_threads", "omp_num_threads"], "training.threads", "4", ""),
    key(&["hyperparameters", "hyperparams", "hparams", "trainer", "train_args", "training_args", "training_arguments", "fit", "solver", "finetune", "fine_tuning"], "training", "{epochs: 5, optimizer: adamw}", ""),
    key(&["batch_size", "batchsize", "bs", "train_batch_size", "per_device_train_batch_size", "per_gpu_train_batch_size", "mini_batch_size", "minibatch", "batches"], "data.batch", "16", ""),
    key(&["eval_batch_size", "val_batch_size", "per_device_eval_batch_size", "test_batch_size"], "data.batch", "16", "evaluation takes the same batch"),
    key(&["num_workers", "n_workers", "nworkers", "dataloader_num_workers", "num_proc", "loader_workers", "num_parallel_calls"], "data.workers", "4", "0 takes one for each core"),
    key(&["shuffle", "shuffling", "sampler", "shuffle_train"], "data.order", "windowed", "rows are shuffled unless the order is `sequential`"),
    key(&["shuffle_buffer", "shuffle_buffer_size", "buffer_size"], "data.window", "4", "it is counted in row groups"),
    key(&["dataset", "datasets", "train_dataset", "train_data", "training_data", "train_dir", "train_path", "train_file", "train_files", "data_dir", "data_path", "data_root", "dataset_name", "dataset_path", "train_set", "trainset", "source", "sources", "input_data", "data_files"], "data.train", "photos/train-*.parquet", ""),
    key(&["val", "valid", "validation", "eval", "test", "dev", "val_data", "validation_data", "eval_data", "test_data", "val_dataset", "eval_dataset", "validation_dataset", "test_dataset", "val_dir", "val_path", "validation_file", "valid_data", "val_set", "evaluation"], "data.evaluate", "photos/test-*.parquet", ""),
    key(&["val_split", "validation_split", "test_size", "train_test_split", "split", "holdout", "test_split", "valid_pct"], "data.evaluate", "photos/test-*.parquet", "the rows to evaluate on are named"),
    key(&["label_column", "label_col", "target", "target_column", "labels", "y", "class_column", "class_col", "label_key", "label_field", "label_name"], "data.label", "label", ""),
    key(&["image_column", "image_col", "input_column", "text_column", "images", "image", "x", "feature", "image_key", "text", "x_col"], "data.input", "image", ""),
    key(&["drop_remainder", "dataloader_drop_last", "drop_incomplete"], "data.drop_last", "true", ""),
    key(&["on_error", "ignore_errors", "skip_errors", "errors", "corrupt", "bad_rows", "on_bad_row"], "data.damaged", "skip", ""),
    key(&["memory_limit", "max_memory", "prefetch", "prefetch_factor", "prefetch_size", "read_ahead", "buffer", "cache_size"], "data.memory", "512 MiB", "the stream reads ahead by itself, within so many bytes"),
    key(&["pretrained", "pretrained_model", "model_path", "model_name", "model_name_or_path", "model_file", "weights", "backbone", "arch", "architecture", "onnx", "onnx_path", "ckpt", "checkpoint_path", "encoder", "network", "net", "base_model"], "model.path", "model.onnx", "the model is an ONNX file"),
    key(&["freeze", "frozen", "freeze_layers", "freeze_backbone", "freeze_encoder", "freeze_base", "feature_extract", "linear_probe", "freeze_at"], "model.train", "head", "what is trained is named; all else is frozen"),
    key(&["unfreeze", "unfreeze_layers", "trainable", "trainable_layers", "layers", "train_layers", "finetune_layers", "unfrozen", "trainable_params", "tune"], "model.train", "{match: ['layer4.*']}", "`head`, `all`, `{last: 3}` and patterns of names are possible; `millstream inspect model.onnx` lists the layers"),
    key(&["num_classes", "n_classes", "nb_classes", "num_labels", "classes", "nc", "reset_head", "replace_head", "new_head", "classifier"], "model.head", "new", "the number of classes comes from the data"),
    key(&["output_layer", "logits", "output_name"], "model.output", "logits", ""),
    key(&["output_dir", "out_dir", "outdir", "out", "save_dir", "save_path", "work_dir", "log_dir", "logdir", "run_dir", "default_root_dir", "output_path", "output_folder", "results", "results_dir", "logging_dir"], "output.folder", "runs/run", ""),
    key(&["save_steps", "checkpoint_every", "save_every", "save_interval", "checkpoint_interval", "save_freq", "checkpoint_steps", "every_n_train_steps", "every_n_steps"], "output.checkpoint.every_steps", "500", ""),
    key(&["save_total_limit", "max_to_keep", "keep_last", "save_top_k", "keep_checkpoints", "max_checkpoints", "checkpoints_total_limit", "keep_checkpoint_max"], "output.checkpoint.keep", "2", ""),
    key(&["checkpoints", "checkpointing", "ckpts"], "output.checkpoint", "{every_steps: 500, keep: 2}", ""),
    key(&["random_state", "random_seed", "manual_seed", "rng_seed", "seeds", "np_seed"], "seed", "0", ""),
    key(&["schema_version", "config_version", "format", "format_version"], "version", "1", ""),
    key(&["augmentations", "augmentation", "augment", "augs", "aug", "transform", "train_transforms", "train_transform", "preprocessing", "preprocess", "tfms", "pipeline", "data_augmentation", "transforms_train", "item_tfms", "batch_tfms"], "transforms.train", "[{random_resized_crop: {size: 224}}, horizontal_flip]", ""),
    key(&["val_transforms", "eval_transforms", "test_transforms", "val_transform", "validation_transforms", "test_transform", "eval_transform", "transforms_val"], "transforms.evaluate", "[{resize: {size: 224}}]", ""),
    key(&["image_size", "img_size", "imgsz", "input_size", "crop_size", "input_shape", "resolution", "image_resolution"], "transforms.train", "[{random_resized_crop: {size: 224}}]", "a transform brings images to a size; those for evaluation need one too"),
    key(&["mean", "std", "normalization", "image_mean", "image_std"], "transforms.train", "[{normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}]", "it stands last, in `transforms.evaluate` too"),
    key(&["mixup", "mix_up", "mixup_alpha"], "transforms.train", "[{mix_up: {alpha: 0.2}}]", ""),
    key(&["precision", "fp16", "bf16", "amp", "mixed_precision", "half", "dtype", "autocast", "tf32", "use_amp", "float16"], "", "", "training is done in 32-bit floats; leave it out"),
    key(&["criterion", "objective", "loss_fn", "loss_function", "loss_type", "loss_name"], "training.loss", "cross_entropy", ""),
    key(&["metric", "metrics", "eval_metric"], "", "", "accuracy, top-5, loss and a confusion matrix are always reported; leave it out"),
    key(&["early_stopping", "patience", "early_stopping_patience", "early_stop"], "", "", "there is none, and `model.onnx` holds the weights of the best epoch; leave it out"),
    key(&["gradient_accumulation_steps", "accumulate_grad_batches", "grad_accum", "accumulation_steps", "gradient_accumulation"], "", "", "there is none; take a larger `data.batch`, or leave it out"),
    key(&["resume", "resume_from_checkpoint", "resume_from", "load_from", "auto_resume"], "", "", "a run goes on by `millstream train RECIPE --resume`; leave it out"),
    key(&["pin_memory", "persistent_workers", "non_blocking", "cache", "streaming", "cache_dir", "keep_in_memory"], "", "", "rows are always streamed; `data.memory` bounds what is held; leave it out"),
    key(&["project", "experiment", "experiment_name", "run_name", "wandb", "logger", "logging", "report_to", "tensorboard", "log_every", "logging_steps", "log_interval", "verbose", "callbacks", "mlflow", "tags", "description", "name"], "", "", "a run writes `metrics.json` and `report.html` into `output.folder`; leave it out"),
    key(&["ema", "ema_decay", "swa", "model_ema"], "", "", "there is no averaging of weights; leave it out"),
    key(&["task", "problem_type", "mode"], "", "", "images are classified; leave it out"),
    key(&["distributed", "ddp", "strategy", "world_size", "num_nodes", "local_rank", "num_machines", "num_processes"], "", "", "one process trains on one device; leave it out"),
    key(&["compile", "torch_compile", "jit", "deterministic", "cudnn_benchmark", "benchmark"], "", "", "the training graph is always compiled, and what is random depends on `seed` alone; leave it out"),
    key(&["dropout", "drop_rate", "drop_path", "drop_path_rate", "stochastic_depth"], "", "", "the model stays as its file has it; leave it out"),
];

/// Values of other tools: place, words in lower case with `_`, what to write there, and what that means.
#[rustfmt::skip]
pub(super) const VALUES: &[(&str, &[&str], &str, &str)] = &[
    ("training.optimizer", &["adam", "torch.optim.adam", "fusedadam"], "{adamw: {weight_decay: 0}}", "Adam is AdamW without weight decay"),
    ("training.optimizer", &["adamw_torch", "adamw_hf", "torch.optim.adamw", "adam_w", "decoupled_adam", "adamwscale", "rmsprop", "adagrad", "adadelta", "adafactor", "lamb", "lars", "nadam", "radam", "adamax", "rprop", "lbfgs", "muon"], "adamw", ""),
    ("training.optimizer", &["momentum", "sgd_momentum", "torch.optim.sgd", "sgdm", "nesterov", "gd"], "{sgd: {learning_rate: 0.01, momentum: 0.9}}", ""),
    ("training.schedule", &["none", "fixed", "const", "off", "constantlr", "flat"], "constant", ""),
    ("training.schedule", &["cosine_annealing", "cosineannealinglr", "cosineannealing", "cosine_decay", "cos", "half_cosine"], "cosine", ""),
    ("training.schedule", &["cosine_with_warmup", "warmup_cosine", "onecycle", "one_cycle", "onecyclelr", "linear", "linear_with_warmup", "linear_warmup", "polynomial", "poly", "step", "steplr", "multistep", "multisteplr", "exponential", "exponentiallr", "plateau", "reducelronplateau", "reduce_on_plateau", "constant_with_warmup", "inverse_sqrt", "warmup"], "{cosine: {warmup: 0.1}}", "there are `constant` and `cosine`"),
    ("training.loss", &["ce", "crossentropy", "crossentropyloss", "cross_entropy_loss", "categorical_crossentropy", "softmax_cross_entropy", "softmax", "nll", "nllloss", "log_loss", "label_smoothing"], "cross_entropy", ""),
    ("training.loss", &["sparse_categorical_crossentropy", "sparse_crossentropy"], "sparse_cross_entropy", ""),
    ("training.loss", &["focal_loss", "focalloss"], "focal", ""),
    ("training.loss", &["l2", "l2_loss", "mseloss", "mse_loss", "mean_squared_error", "squared_error"], "mse", ""),
    ("training.loss", &["l1", "l1_loss", "l1loss", "maeloss", "mean_absolute_error", "absolute_error"], "mae", ""),
    ("training.loss", &["smooth_l1", "smoothl1loss", "smooth_l1_loss", "huberloss", "huber_loss"], "huber", ""),
    ("training.device", &["gpu", "nvidia", "cuda:auto", "gpu:0", "0", "true"], "cuda", ""),
    ("training.device", &["mps", "metal", "rocm", "hip", "xpu", "tpu", "npu", "xla", "dml", "directml", "coreml"], "auto", "it takes CUDA where there is one and the CPU otherwise"),
    ("model.head", &["replace", "linear", "reset", "random", "new_with", "init", "true", "classifier"], "new", "its weights can be drawn otherwise: `head: {new_with: he_normal}`"),
    ("model.head", &["frozen", "pretrained", "original", "old", "none", "false", "same"], "keep", ""),
    ("model.head.new_with", &["kaiming", "kaiming_normal", "he", "msra", "normal"], "he_normal", ""),
    ("model.head.new_with", &["kaiming_uniform"], "he_uniform", ""),
    ("model.head.new_with", &["xavier", "glorot", "glorot_uniform", "uniform", "default", "trunc_normal"], "xavier_uniform", ""),
    ("model.head.new_with", &["glorot_normal"], "xavier_normal", ""),
    ("model.train", &["last", "top"], "{last: 3}", ""),
    ("model.train", &["match", "pattern", "patterns"], "{match: ['layer4.*']}", ""),
    ("model.train", &["full", "everything", "whole", "finetune", "fine_tune", "true", "backbone"], "all", ""),
    ("model.train", &["none", "classifier", "linear_probe", "last_layer", "linear", "fc", "false", "top_layer"], "head", ""),
    ("data.order", &["random", "shuffle", "shuffled", "true", "yes"], "windowed", "`global` is one permutation of all rows, and slower"),
    ("data.order", &["none", "file", "fixed", "false", "no", "off"], "sequential", ""),
    ("data.damaged", &["ignore", "drop", "warn", "continue", "remove"], "skip", ""),
    ("data.damaged", &["error", "raise", "stop", "abort", "strict"], "fail", ""),
    ("data.damaged", &["log", "collect", "quarantined", "set_aside"], "quarantine", ""),
    ("data.transparency", &["rgb", "ignore", "remove", "none", "convert"], "drop", ""),
];
