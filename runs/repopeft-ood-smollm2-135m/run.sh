#!/bin/sh
# The out-of-distribution track of RepoPeftBench on smollm2-135m: repositories
# that began after the base model was made. Everything goes on where it was cut.
# Usage, in this folder:
#
#	CODE2LORA=../../code2lora CLONES=DIR sh run.sh [mine|test|score|report]...
#
# CLONES is a folder of local clones, OWNER+NAME/repo; without it, clones are
# fetched.
set -eu
c2l=${CODE2LORA:-code2lora}
clones=${CLONES:+--mirrors $CLONES}
[ -n "$clones" ] || clones=--network
suite="--track ood --split train,validation,test --language python --base smollm2-135m --kind assertion --per-repository 25 --prefix-tokens 256 --context-tokens 512"
static=../repopeft-smollm2-135m/static/checkpoint.safetensors

bench() { # bench ARGUMENTS: methods on the tasks of all repositories
	# shellcheck disable=SC2086 # lists of words
	"$c2l" bench run bench/ood $clones $suite -o test-ood "$@"
}

step() {
	case $1 in
	mine)
		# shellcheck disable=SC2086
		"$c2l" bench mine repositories.tsv $clones --out bench/ood --track ood --cutoff 2025-01-01 --kind assertion,call,line \
			--language python,go,java,javascript,typescript
		;;
	test)
		bench --method base
		bench --method "checkpoint:file=$static"
		bench --method "checkpoint:file=$static,which={average,stranger}"
		;;
	score)
		"$c2l" bench score bench/ood test-ood/*
		for run in test-ood/*; do # without the answers
			mkdir -p "results/$(basename "$run")"
			cp "$run/run.json" "$run/scores.jsonl.gz" "results/$(basename "$run")"
		done
		;;
	report)
		"$c2l" bench report -o report --title "RepoPeftBench, out of distribution, smollm2-135m" --benchmark . results/*
		;;
	*)
		echo "unknown step: $1" >&2
		exit 2
		;;
	esac
}

[ $# -gt 0 ] || set -- mine test score report
for s; do step "$s"; done
