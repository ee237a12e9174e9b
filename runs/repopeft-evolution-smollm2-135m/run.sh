#!/bin/sh
# The evolution track of RepoPeftBench on smollm2-135m, and the drift of states
# over whole histories. Everything goes on where it was cut. Usage, in this folder:
#
#	CODE2LORA=../../code2lora CLONES=DIR sh run.sh [mine|train|test|own|score|audit|report|drift|policy|cost]...
#
# CLONES is a folder of local clones, OWNER+NAME/repo; without it, clones are
# fetched, but for drift, which needs them.
set -eu
c2l=${CODE2LORA:-code2lora}
clones=${CLONES:+--mirrors $CLONES}
[ -n "$clones" ] || clones=--network
suite="--track evolution --base smollm2-135m --split test --kind assertion --per-repository 25 --per-file 6 --prefix-tokens 256 --context-tokens 512"
validation="python-jsonschema+jsonschema marshmallow-code+marshmallow urllib3+urllib3 libgit2+pygit2 python-trio+trio copier-org+copier"
[ -e static ] || ln -s ../repopeft-smollm2-135m/static static
[ -e lora ] || ln -s ../repopeft-smollm2-135m/lora lora # its adapter is made by "run.sh tune" there
static=static/checkpoint.safetensors

out=test-evolution
lora=lora/adapter

bench() { # bench ARGUMENTS: methods on the tasks of test repositories
	# shellcheck disable=SC2086 # lists of words
	"$c2l" bench run bench/evolution $clones $suite -o "$out" "$@"
}

back() { # back NAME N: the commit that is N before the last
	git -C "$CLONES/$1/repo" rev-parse "HEAD~$2"
}

field() { # field NAME: a number of the last update
	sed -n "s/^  \"$1\": \([0-9.e-]*\),\{0,1\}\$/\1/p" drift/work/update.json
}

cost() { # cost CHECKPOINT CHURN EVERY: of an update of $name
	cache=$(mktemp -d)
	mkdir "$cache/code2lora"
	ln -s "${XDG_CACHE_HOME:-$HOME/.cache}/code2lora/models" "$cache/code2lora/models"
	mkdir -p drift/work
	# a state that can't drift has no churn
	XDG_CACHE_HOME=$cache "$c2l" update "$CLONES/$name/repo" --json --base smollm2-135m --checkpoint "$1" --every "$3" \
		--anchor-at "$(echo "$2" | sed 's/–/0/')" --from "$(back "$name" 200)" --store "$cache/states" >drift/work/update.json
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t%.2f\n' "$(sed -n 's/^  "mode": "\(.*\)",$/\1/p' drift/work/update.json)" "$2" "$3" \
		"$(echo "$name" | tr + /)" "$(field applied)" "$(field reanchored)" "$(field seconds)" "$(field anchor_seconds)" >>drift/cost.tsv
	rm -rf "$cache"
}

step() {
	case $1 in
	mine)
		# shellcheck disable=SC2086
		"$c2l" bench mine repositories.tsv $clones --out bench/evolution --track evolution --kind assertion
		;;
	train)
		# shellcheck disable=SC2086
		"$c2l" train -c evo.yaml $clones
		;;
	test)
		bench --method base
		bench --method 'evo:file=evo/checkpoint.safetensors,which={own,average,stranger,nearest,shuffled}'
		bench --method "checkpoint:file=$static,at={anchor,commit}"
		bench --method "checkpoint:file=$static,which={average,stranger,nearest,shuffled}"
		bench --method "additive:file=$static"
		bench --level production,tree --method bm25:k=3
		bench --method dependencies
		bench --level tree --method examples:k=4
		[ ! -d $lora ] && echo "skipped: there is no $lora" || bench --method adapter:dir=$lora
		;;
	own) # an adapter of its own for each of some test repositories, and others on the same tasks
		"$c2l" tune -c own-evo.yaml --own-tasks-of-test
		(
		suite="--track evolution --base smollm2-135m --split test --kind assertion --prefix-tokens 256 --context-tokens 512 --per-repository 30 --in-repo test"
		suite="$suite --repository $(sed -n 's/.*repositories: \[\(.*\)\]/\1/p' own-evo.yaml | tr -d ' ')"
		out=test-own
		bench --method base
		bench --level tree --method own-adapter:dir=own-evo/own-tasks-of-test
		bench --method 'evo:file=evo/checkpoint.safetensors,which={own,average}'
		bench --method "checkpoint:file=$static,at=commit"
		bench --level tree --method bm25:k=3 --method examples:k=4
		[ ! -d $lora ] && echo "skipped: there is no $lora" || bench --method adapter:dir=$lora
		)
		;;
	score)
		for part in evolution own; do
			"$c2l" bench score bench/evolution test-$part/*
			for run in test-$part/*; do # without the answers
				mkdir -p "results-$part/$(basename "$run")"
				cp "$run/run.json" "$run/scores.jsonl.gz" "results-$part/$(basename "$run")"
			done
		done
		;;
	audit)
		# shellcheck disable=SC2086
		"$c2l" bench audit bench/evolution $clones --track evolution --base smollm2-135m --checkpoint evo/checkpoint.safetensors \
			--per-repository 4 --prefix-tokens 256 -o audit.json
		;;
	report)
		"$c2l" bench report -o report --title "RepoPeftBench, evolution track, smollm2-135m" --benchmark . --audit audit.json results-evolution/*
		"$c2l" bench report -o report-own --title "Adapters of their own, evolution track, smollm2-135m" --benchmark . results-own/*
		;;
	drift) # over whole histories, and over the last 32 commits
		for name in $validation davidhalter+jedi PyCQA+isort; do
			state="--base smollm2-135m --checkpoint evo/checkpoint.safetensors --store drift/work/states"
			# shellcheck disable=SC2086
			"$c2l" update "$CLONES/$name/repo" --from root --anchor-at 0 --every 40 $state
			# shellcheck disable=SC2086
			"$c2l" drift "$CLONES/$name/repo" --samples 10 --tasks 8 --prefix-tokens 256 $state -o "drift/$name"
		done
		for name in $validation; do
			state="--base smollm2-135m --checkpoint evo/checkpoint.safetensors --store drift/work/near"
			# shellcheck disable=SC2086
			"$c2l" update "$CLONES/$name/repo" --from "$(back "$name" 32)" --anchor-at 0 --every 1 $state
			# shellcheck disable=SC2086
			"$c2l" drift "$CLONES/$name/repo" --samples 16 $state -o "drift/near/$name"
		done
		;;
	policy) # what --anchor-at leaves of the drift, over the last 400 commits
		mkdir -p drift/work
		printf 'anchor_at\trepository\tcommits\tanchors\tpoints\tdistance\n' >drift/policy.tsv
		for churn in 0 0.05 0.25 1; do
			for name in $validation; do
				state="--base smollm2-135m --checkpoint evo/checkpoint.safetensors --store drift/work/policy-$churn --json"
				# shellcheck disable=SC2086
				"$c2l" update "$CLONES/$name/repo" --from "$(back "$name" 400)" --anchor-at $churn --every 10 $state >drift/work/update.json
				# shellcheck disable=SC2086
				"$c2l" drift "$CLONES/$name/repo" --samples 12 $state >drift/work/drift.json
				printf '%s\t%s\t%s\t%s\t%s\n' $churn "$(echo "$name" | tr + /)" "$(field applied)" "$(field reanchored)" \
					"$(sed -n 's/.*"distance": \([0-9.e-]*\).*/\1/p' drift/work/drift.json | awk '{ s += $1 } END { printf "%d\t%.4f", NR, s / NR }')" >>drift/policy.tsv
			done
		done
		;;
	cost) # time of updates over the last 200 commits, each with an empty cache of vectors
		printf 'kind\tanchor_at\tkept\trepository\tcommits\tanchors\tseconds\tof_these_for_anchors\n' >drift/cost.tsv
		for name in $validation; do
			cost evo/checkpoint.safetensors 0 50
			cost evo/checkpoint.safetensors 0.25 50
			cost evo/checkpoint.safetensors 0 1
			cost $static – 1
		done
		;;
	*)
		echo "unknown step: $1" >&2
		exit 2
		;;
	esac
}

[ $# -gt 0 ] || set -- mine train test own score audit report drift policy cost
for s; do step "$s"; done
