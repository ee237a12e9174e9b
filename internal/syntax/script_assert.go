package syntax

// all says that all arguments of an assertion are its target.
const all = -1

// expectations gives, for the matchers of Jest, Vitest and Jasmine behind
// expect(x), the argument that is their target.
var expectations = map[string]int{
	"toBe": 0, "toEqual": 0, "toStrictEqual": 0, "toContain": 0, "toContainEqual": 0, "toMatch": 0, "toMatchObject": 0,
	"toThrow": 0, "toThrowError": 0, "toHaveLength": 0, "toHaveProperty": all, "toBeInstanceOf": 0, "toBeTypeOf": 0,
	"toBeGreaterThan": 0, "toBeGreaterThanOrEqual": 0, "toBeLessThan": 0, "toBeLessThanOrEqual": 0, "toBeCloseTo": 0,
	"toHaveBeenCalledWith": all, "toHaveBeenLastCalledWith": all, "toBeCalledWith": all, "toHaveBeenCalledTimes": 0, "toBeCalledTimes": 0,
	"toHaveReturnedWith": 0, "toHaveTextContent": 0, "toHaveAttribute": all, "toHaveValue": 0, "toHaveText": 0,
}

// chains does so for those of Chai and should.js behind expect(x) and x.should.
var chains = map[string]int{
	"equal": 0, "equals": 0, "eq": 0, "eql": 0, "eqls": 0, "exactly": 0, "above": 0, "below": 0, "least": 0, "most": 0, "within": all,
	"instanceof": 0, "instanceOf": 0, "property": all, "length": 0, "lengthOf": 0, "match": 0, "string": 0, "keys": all, "members": 0,
	"include": 0, "includes": 0, "contain": 0, "contains": 0, "throw": 0, "throws": 0, "a": 0, "an": 0, "oneOf": 0, "closeTo": 0,
	"greaterThan": 0, "lessThan": 0, "calledWith": all,
}

// comparisons are the methods of assert, of Node and of Chai, and of the t of
// tape, tap and AVA, whose target is the second argument.
var comparisons = map[string]bool{
	"equal": true, "notEqual": true, "strictEqual": true, "notStrictEqual": true, "deepEqual": true, "notDeepEqual": true,
	"deepStrictEqual": true, "notDeepStrictEqual": true, "partialDeepStrictEqual": true, "match": true, "doesNotMatch": true,
	"throws": true, "rejects": true, "include": true, "notInclude": true, "lengthOf": true, "instanceOf": true, "typeOf": true,
	"property": true, "isAbove": true, "isBelow": true, "isAtLeast": true, "isAtMost": true, "closeTo": true, "sameMembers": true,
	"is": true, "not": true, "same": true, "notSame": true, "strictSame": true, "looseEqual": true, "like": true, "equals": true,
}

// assertion records a call of something if it is an assertion.
func (w *scriptWalker) assertion(call, callee, object, list int, s scope) {
	name := w.text(callee)
	if object < 0 {
		if name == "assert" {
			site := w.site("assert", call, s)
			w.aimComparison(&site, w.withoutComments(list, 0))
			w.out.Sites = append(w.out.Sites, site)
		}
		return
	}
	receiver := ""
	if n := &w.nodes[object]; n.end-n.start <= len("assert.strict") {
		receiver = w.text(object)
	}
	var site Site
	index, isExpectation := expectations[name]
	switch receiver {
	case "assert", "assert.strict", "chai.assert", "t", "t.assert":
		site = w.site("assert."+name, call, s)
		if receiver == "t" {
			site.Kind = "t." + name
		} else if name == "ok" {
			w.aimComparison(&site, w.withoutComments(list, 0))
			w.out.Sites = append(w.out.Sites, site)
			return
		}
		if !comparisons[name] {
			return
		}
		index = 1
	default:
		chain, isChain := chains[name]
		if !isExpectation && !isChain {
			return
		}
		root := w.chainRoot(object)
		if root == "" || isExpectation && root != "expect" {
			return
		}
		if isChain {
			index = chain
		}
		site = w.site(root+"."+name, call, s)
	}
	if site.Flaw == "" {
		first, last := w.scriptTarget(w.named(list), index)
		w.aim(&site, first, last)
	}
	w.out.Sites = append(w.out.Sites, site)
}

// scriptTarget returns the first and the last argument of a target, or -1.
func (w *scriptWalker) scriptTarget(args []int, index int) (first, last int) {
	if index == all {
		if len(args) == 0 {
			return -1, -1
		}
		return args[0], args[len(args)-1]
	}
	if index >= len(args) {
		return -1, -1
	}
	for _, a := range args[:index+1] {
		if w.kind(a) == "spread_element" {
			return -1, -1 // which argument it is can't be told
		}
	}
	return args[index], args[index]
}

// chainRoot returns "expect" for what comes of a call expect(x), "should" for
// what comes of x.should, and else "".
func (w *scriptWalker) chainRoot(i int) string {
	for range 32 {
		switch w.kind(i) {
		case "member_expression":
			if property := w.field(i, "property"); property >= 0 && w.text(property) == "should" {
				return "should"
			}
			i = w.field(i, "object")
		case "call_expression":
			i = w.field(i, "function")
			switch object := w.field(i, "object"); {
			case w.kind(i) == "identifier" && w.text(i) == "expect":
				return "expect"
			case w.kind(i) == "member_expression" && w.kind(object) == "identifier" && w.text(object) == "expect":
				return "expect" // expect.soft(x)
			}
		default:
			return ""
		}
	}
	return ""
}
