#!/bin/sh
# Makes the virtual environment of the peers: setup.sh FOLDER
# Needs Python 3.11 or newer with venv, a C and C++ compiler, and about 7 GB (torch brings its GPU
# libraries along on Linux). JOBS sets the number of compilers at once (2), PYTHON the interpreter.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 2
fi
venv=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
llama=0.3.36

"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"

# llama.cpp for this very processor, but without AMX: some virtual machines announce it and then
# stop the process at its first instruction. Where it is announced, -march=native would use it, so the
# instruction sets are named one by one instead.
flags="-DGGML_NATIVE=ON"
if grep -q -w amx_tile /proc/cpuinfo 2>/dev/null; then
    flags="-DGGML_NATIVE=OFF -DGGML_AMX_TILE=OFF -DGGML_AMX_INT8=OFF -DGGML_AMX_BF16=OFF"
    flags="$flags -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_BMI2=ON -DGGML_FMA=ON -DGGML_F16C=ON"
    for pair in avx512bw:AVX512 avx512vbmi:AVX512_VBMI avx512_vnni:AVX512_VNNI \
        avx512_bf16:AVX512_BF16 avx_vnni:AVX_VNNI; do
        if grep -q -w "${pair%%:*}" /proc/cpuinfo; then
            flags="$flags -DGGML_${pair##*:}=ON"
        fi
    done
fi
CMAKE_ARGS="$flags -DLLAVA_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-2}" \
    nice "$venv/bin/pip" install --quiet --no-binary llama-cpp-python "llama-cpp-python==$llama"
echo "$flags, $(c++ --version | head -n 1)" >"$venv/llama-build.txt"
"$venv/bin/python" -c 'import llama_cpp, peft, torch, transformers' && echo "ready: $venv/bin/python"
