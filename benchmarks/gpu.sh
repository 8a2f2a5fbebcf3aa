#!/usr/bin/env bash
# What only a GPU can show, in parts that each end within ten minutes. In the project's root, no network, no DVC, no MLflow:
#   python -m benchmarks.gpu_pack unpack FOLDER    # once
#   benchmarks/gpu.sh loop          # train against the bare loop, with and without torch.compile
#   benchmarks/gpu.sh train         # all six trainings: seconds, peak memory
#   benchmarks/gpu.sh determinism   # two runs of each backbone: the same bytes or not
# EPOCHS, BATCH, WORKERS, BACKBONES, TASKS change the defaults; results go to $OUT (default benchmarks/out) and to the terminal.
set -euo pipefail
export PYTHONPATH=src:. NO_ALBUMENTATIONS_UPDATE=1 PYTHONUNBUFFERED=1
OUT=${OUT:-benchmarks/out} EPOCHS=${EPOCHS:-30} BATCH=${BATCH:-64} WORKERS=${WORKERS:-auto}
BACKBONES=${BACKBONES:-inception_v3 resnet50 efficientnet_b4} TASKS=${TASKS:-melanoma diagnosis}
mkdir -p "$OUT"
cp params.yaml "$OUT/params.yaml.before"
trap 'cp "$OUT/params.yaml.before" params.yaml' EXIT
size=$(python -c 'import numpy; print(numpy.load("data/pixels.npy", mmap_mode="r").shape[1])')

set_params() {  # epochs, patience
    python - "$size" "$1" "$2" "$BATCH" "$WORKERS" <<'PY'
import sys, yaml
size, epochs, patience, batch, workers = (v if v == "auto" else int(v) for v in sys.argv[1:])
params = yaml.safe_load(open("params.yaml"))
params["pixels"]["size"] = size
params["train"].update(epochs=epochs, patience=patience, batch_size=batch, workers=workers, weights="none")
yaml.safe_dump(params, open("params.yaml", "w"), sort_keys=False)
PY
}

train() {  # task, backbone: seconds and peak MiB on the GPU
    local start=$SECONDS peak=0 used
    python pipeline/train.py "$1" "$2" >"$OUT/train-$1-$2.log" 2>&1 &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
        used=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null || echo 0)
        ((used > peak)) && peak=$used
        sleep 1
    done
    wait $pid || { tail -n 20 "$OUT/train-$1-$2.log"; exit 1; }
    echo "$((SECONDS - start)) $peak"
}

case ${1:?loop, train or determinism} in
loop)
    python -m benchmarks.loop --size "$size" --batch "$BATCH" --array data/pixels.npy --compile ${STEPS:+--steps $STEPS} $BACKBONES | tee "$OUT/loop.md"
    ;;
train)
    set_params "$EPOCHS" "$EPOCHS"
    begin=$SECONDS
    { echo "| training, $size px, $EPOCHS epochs, batches of $BATCH | seconds | peak MiB |"; echo "| --- | --- | --- |"; } | tee "$OUT/train.md"
    for task in $TASKS; do
        for backbone in $BACKBONES; do
            read -r seconds peak < <(train "$task" "$backbone")
            echo "| $task, $backbone | $seconds | $peak |" | tee -a "$OUT/train.md"
        done
    done
    echo "| all | $((SECONDS - begin)) | |" | tee -a "$OUT/train.md"
    ;;
determinism)
    set_params "${EPOCHS_TWICE:-2}" 2
    { echo "| twice ${EPOCHS_TWICE:-2} epochs | the same weights |"; echo "| --- | --- |"; } | tee "$OUT/determinism.md"
    for backbone in $BACKBONES; do
        for run in 1 2; do
            train melanoma "$backbone" >/dev/null
            sha256sum <"models/melanoma/$backbone.safetensors" >"$OUT/run-$run"
        done
        cmp -s "$OUT/run-1" "$OUT/run-2" && same=yes || same=no
        echo "| $backbone | $same |" | tee -a "$OUT/determinism.md"
    done
    ;;
*) echo "loop, train or determinism" >&2; exit 2 ;;
esac
