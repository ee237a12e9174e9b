#!/bin/sh
# The first run of RepoPeftBench on smollm2-135m, static track. Everything goes
# on where it was cut. Usage, in this folder:
#
#	CODE2LORA=../../code2lora CLONES=DIR sh run.sh [mine|sweep|tune|train|test|score|report]...
#
# CLONES is a folder of local clones; without it, clones are fetched.
set -eu
c2l=${CODE2LORA:-code2lora}
clones=${CLONES:+--mirrors $CLONES}
[ -n "$clones" ] || clones=--network
suite="--base smollm2-135m --split test --kind assertion --per-repository 20 --per-file 6 --prefix-tokens 512 --context-tokens 768 --texts"

bench() { # bench ARGUMENTS: one method on the test repositories
	# shellcheck disable=SC2086 # lists of words
	"$c2l" bench run bench/static $clones $suite -o test-static "$@"
}

step() {
	case $1 in
	mine)
		# shellcheck disable=SC2086
		"$c2l" bench mine repositories.tsv $clones --out bench/static --track static --kind assertion,call,line
		;;
	sweep) # settings of retrieval, on validation repositories
		try="bench/static $clones --base smollm2-135m --split validation --kind assertion --per-repository 4 --per-file 2 --prefix-tokens 512 --context-tokens 768 -o tune-retrieval"
		# shellcheck disable=SC2086
		"$c2l" bench run $try --method base
		# shellcheck disable=SC2086
		"$c2l" bench run $try --level tree --method 'examples:k={2,4,8}' --method 'examples:k=4,unit=assertion' \
			--method 'examples:k=4,layout=shots' --method 'examples:k=4,ranking=fused,pool=30' --method 'bm25:k={1,3,6}' \
			--method 'bm25:k=3,unit=window' --method 'bm25:k=3,unit=test' --method 'fused:k=3,pool=30' --method 'dense:k=3,pool=30' --method dependencies
		"$c2l" bench score bench/static tune-retrieval/*
		;;
	tune)
		for config in lora-grid lora full own; do "$c2l" tune -c $config.yaml; done
		;;
	train)
		# shellcheck disable=SC2086
		for config in static text2lora; do "$c2l" train -c $config.yaml $clones; done
		;;
	test)
		bench --method base
		bench --method 'checkpoint:which={own,average,stranger,nearest,shuffled}'
		bench --level production,tree --method 'bm25:k=3' --method 'fused:k=3,pool=30' --method dependencies
		bench --level tree --method 'examples:k=4' --method 'checkpoint:which=own+examples:k=4'
		bench --method dependencies-past-cut
		for kind in static text2lora; do
			[ -d $kind ] || continue
			bench --method "checkpoint:file=$kind/checkpoint.safetensors,which={own,average,stranger,nearest,shuffled}"
		done
		for kind in lora full; do
			[ -d $kind ] || continue
			bench --method "adapter:dir=$kind/adapter"
		done
		[ ! -d full ] || bench --method 'adapter:dir=full/adapter+bm25:k=3'
		[ ! -d lora ] || bench --level tree --method 'adapter:dir=lora/adapter+examples:k=4'
		;;
	score)
		"$c2l" bench score bench/static test-static/*
		for run in test-static/*; do # without the texts of answers
			mkdir -p "results/$(basename "$run")"
			cp "$run/run.json" "$run/scores.jsonl.gz" "results/$(basename "$run")"
		done
		;;
	report)
		# shellcheck disable=SC2086
		"$c2l" bench audit bench/static $clones --base smollm2-135m --per-repository 5 --per-file 5 --prefix-tokens 384 -o audit.json
		"$c2l" bench report -o report --title "RepoPeftBench, smollm2-135m" --benchmark . --audit audit.json results/*
		;;
	*)
		echo "unknown step: $1" >&2
		exit 2
		;;
	esac
}

[ $# -gt 0 ] || set -- mine sweep tune train test score report
for s; do step "$s"; done
