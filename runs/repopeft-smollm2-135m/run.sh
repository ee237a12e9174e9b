#!/bin/sh
# The first run of RepoPeftBench on smollm2-135m, static track. Everything goes
# on where it was cut. Usage, in this folder:
#
#	CODE2LORA=../../code2lora CLONES=DIR sh run.sh [mine|sweep|tune|train|test|own|score|audit|costs|report]...
#
# CLONES is a folder of local clones; without it, clones are fetched.
set -eu
c2l=${CODE2LORA:-code2lora}
clones=${CLONES:+--mirrors $CLONES}
[ -n "$clones" ] || clones=--network
suite="--base smollm2-135m --split test --kind assertion --per-repository 20 --per-file 6 --prefix-tokens 512 --context-tokens 768 --texts"

out=test-static

bench() { # bench ARGUMENTS: one method on the test repositories
	# shellcheck disable=SC2086 # lists of words
	"$c2l" bench run bench/static $clones $suite -o "$out" "$@"
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
	tune) # own-grid and own-shared-grid choose the learning rates of own and own-shared
		for config in lora-grid lora full own-grid own-shared-grid; do "$c2l" tune -c $config.yaml; done
		for config in own own-shared; do "$c2l" tune -c $config.yaml --own-tasks-of-test; done
		;;
	train)
		# shellcheck disable=SC2086
		for config in static text2lora moments; do "$c2l" train -c $config.yaml $clones; done
		;;
	test)
		bench --method base
		bench --method 'checkpoint:which={own,average,stranger,nearest}'
		bench --method 'checkpoint:file=static/checkpoint.safetensors,which={own,average,stranger,nearest,shuffled}'
		bench --method 'checkpoint:file=text2lora/checkpoint.safetensors,which={own,average,stranger}'
		bench --level production,tree --method bm25:k=3 --method fused:k=3,pool=30 --method dependencies
		bench --method dependencies-past-cut
		bench --level tree --method examples:k=4 --method examples:k=8,unit=assertion
		bench --level tree --method 'checkpoint:file=static/checkpoint.safetensors,which=own+examples:k=8,unit=assertion'
		bench --method adapter:dir=full/adapter --method adapter:dir=full/adapter+bm25:k=3
		bench --method adapter:dir=lora/adapter
		bench --level tree --method adapter:dir=lora/adapter+examples:k=8,unit=assertion
		;;
	own) # adapters of their own, and others, on held-out tasks of the same test repositories
		(
		suite="--base smollm2-135m --split test --kind assertion --per-repository 20 --prefix-tokens 512 --context-tokens 768 --texts --in-repo test"
		suite="$suite --repository $(sed -n 's/.*repositories: \[\(.*\)\]/\1/p' own.yaml | tr -d ' ')"
		out=test-own-static
		bench --method base --method adapter:dir=lora/adapter
		bench --level tree --method own-adapter:dir=own/own-tasks-of-test --method 'own-adapter:dir=own-shared/own-tasks-of-test,which={own,stranger}'
		bench --method 'checkpoint:file=static/checkpoint.safetensors,which={own,average}'
		bench --level tree --method examples:k=8,unit=assertion
		)
		;;
	score)
		for part in '' own-; do
			"$c2l" bench score bench/static test-${part}static/*
			for run in test-${part}static/*; do # without the texts of answers
				mkdir -p "results${part:+-own}/$(basename "$run")"
				cp "$run/run.json" "$run/scores.jsonl.gz" "results${part:+-own}/$(basename "$run")"
			done
		done
		;;
	audit)
		audit="bench/static $clones --base smollm2-135m --per-repository 5 --per-file 5 --prefix-tokens 384"
		# shellcheck disable=SC2086
		"$c2l" bench audit $audit -o audit.json
		# shellcheck disable=SC2086
		"$c2l" bench audit $audit --checkpoint static/checkpoint.safetensors -o audit-static.json
		;;
	costs) # on a few tasks of six repositories; wants a quiet machine
		# shellcheck disable=SC2086
		"$c2l" bench costs bench/static $clones --base smollm2-135m --level production,tree --per-repository 4 --prefix-tokens 512 --context-tokens 768 \
			--repository python-attrs/cattrs,jpadilla/pyjwt,lundberg/respx,tox-dev/filelock,lark-parser/lark,scrapy/w3lib -o costs.json \
			--method bm25:k=3 --method dependencies --method examples:k=8,unit=assertion --method adapter:dir=lora/adapter --method checkpoint:file=static/checkpoint.safetensors
		;;
	report)
		"$c2l" bench report -o report --title "RepoPeftBench, smollm2-135m" --benchmark . --costs costs.json --grid lora-grid/grid.json --grid full/grid.json \
			--audit audit.json --audit audit-static.json results/*
		"$c2l" bench report -o report-own --title "Adapters of their own, static track, smollm2-135m" --benchmark . results-own/*
		;;
	*)
		echo "unknown step: $1" >&2
		exit 2
		;;
	esac
}

[ $# -gt 0 ] || set -- mine sweep tune train test own score audit costs report
for s; do step "$s"; done
