package repopeft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/code2lora/code2lora/internal/half"
)

// columnType is what a column has to hold.
type columnType string

const (
	textColumn    columnType = "string"
	integerColumn columnType = "int32" // or longColumn
	longColumn    columnType = "int64"
	vectorColumn  columnType = "list of float16"
)

// columnSpec is a column that is wanted of a file.
type columnSpec struct {
	name     string
	typ      columnType
	optional bool // the file may lack it: its values are zero values
}

// table is a Parquet file whose columns are bound by name. Columns that nobody
// asked for are neither read nor looked at.
type table struct {
	path    string
	f       *os.File
	parquet *parquet.File
	// seek is whether positions of pages may be believed. It is false for the
	// files of others, which are read from the beginning to the end.
	seek   bool
	leaves map[string]int // column -> index of its values, -1 if the file lacks it
	types  map[string]columnType
}

// guard calls f and returns what it panics with as an error. The Parquet
// library checks much of what it reads, but a damaged file can still make it
// index out of range.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
	}()
	return f()
}

// openTable opens a file and binds its columns.
func openTable(path string, seek bool, columns []columnSpec) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t := &table{path: path, f: f, seek: seek, leaves: map[string]int{}, types: map[string]columnType{}}
	if err := t.open(columns); err != nil {
		f.Close()
		return nil, t.wrap(err)
	}
	return t, nil
}

func (t *table) open(columns []columnSpec) error {
	info, err := t.f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if err := checkFooter(t.f, size); err != nil {
		return err
	}
	err = guard(func() (err error) {
		t.parquet, err = parquet.OpenFile(t.f, size, parquet.SkipBloomFilters(true), parquet.SkipPageIndex(!t.seek), parquet.ReadBufferSize(1<<16))
		return err
	})
	if err != nil {
		return err
	}
	return guard(func() error { return t.bind(columns) })
}

// checkFooter reports a file that has no Parquet footer, or one that is longer
// than the file, before anything is allocated for it.
func checkFooter(r io.ReaderAt, size int64) error {
	const magic = "PAR1"
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return fmt.Errorf("no Parquet file: it has %d bytes", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return err
	}
	if string(head[:]) != magic {
		return fmt.Errorf("no Parquet file: it begins with %q, want %q", head, magic)
	}
	if string(tail[4:]) != magic {
		return fmt.Errorf("it ends with %q, want %q: it has been cut off, or is still being written", tail[4:], magic)
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-int64(len(head)+len(tail)) {
		return fmt.Errorf("footer of %d bytes in a file of %d", n, size)
	}
	return nil
}

// bind finds the columns, and reports all that are missing or of a wrong type.
func (t *table) bind(columns []columnSpec) error {
	found := map[string][]*parquet.Column{}
	var names, wrong []string
	for _, c := range t.parquet.Root().Columns() {
		found[c.Name()] = append(found[c.Name()], c)
		names = append(names, c.Name())
	}
	for _, want := range columns {
		t.types[want.name] = want.typ
		t.leaves[want.name] = -1
		switch c := found[want.name]; len(c) {
		case 0:
			if !want.optional {
				wrong = append(wrong, fmt.Sprintf("column %q is missing, want %s", want.name, want.typ))
			}
		case 1:
			leaf, got := typeOf(c[0])
			if got != want.typ && (got != longColumn || want.typ != integerColumn) {
				wrong = append(wrong, fmt.Sprintf("column %q is %s, want %s", want.name, got, want.typ))
				continue
			}
			t.leaves[want.name] = leaf
		default:
			wrong = append(wrong, fmt.Sprintf("column %q is there %d times", want.name, len(c)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%s (the file has columns %s)", strings.Join(wrong, "; "), strings.Join(names, ", "))
}

// typeOf returns the index of a column's values, and its type: one of the
// constants if it is one that we can use, else a description.
func typeOf(c *parquet.Column) (leaf int, typ columnType) {
	if c.Leaf() {
		return c.Index(), scalarType(c)
	}
	// A list is a group with a repeated group with the element.
	element := c
	for !element.Leaf() {
		if len(element.Columns()) != 1 {
			return -1, "a group"
		}
		element = element.Columns()[0]
	}
	if element.Type().Kind() == parquet.FixedLenByteArray && element.Type().Length() == 2 && maxRepetition(c, element) == 1 {
		return element.Index(), vectorColumn
	}
	return -1, "list of " + scalarType(element)
}

// maxRepetition counts the repeated nodes from c down to its only leaf.
func maxRepetition(c, leaf *parquet.Column) (n int) {
	for {
		if c.Repeated() {
			n++
		}
		if c == leaf || c.Leaf() {
			return n
		}
		c = c.Columns()[0]
	}
}

// scalarType returns the type of a leaf.
func scalarType(c *parquet.Column) columnType {
	typ := columnType(strings.ToLower(c.Type().String()))
	var logical format.LogicalTypeValue
	if t := c.Type().LogicalType(); t != nil {
		logical = t.Value
	}
	_, isString := logical.(*format.StringType)
	_, isInt := logical.(*format.IntType)
	switch kind := c.Type().Kind(); {
	case c.Repeated():
		return "repeated " + typ
	case kind == parquet.ByteArray && isString:
		return textColumn
	case kind == parquet.ByteArray && logical == nil:
		return "binary"
	case kind == parquet.Int32 && (isInt || logical == nil):
		return integerColumn
	case kind == parquet.Int64 && (isInt || logical == nil):
		return longColumn
	}
	return typ
}

// wrap adds the name of the file to an error.
func (t *table) wrap(err error) error { return fmt.Errorf("%s: %w", t.path, err) }

// close closes the file.
func (t *table) close() { t.f.Close() }

// rows calls visit with each row until it returns false. Errors, which name the
// file and the row, end it. visit must not keep the row.
func (t *table) rows(visit func(*row) (bool, error)) error {
	var n int64
	for _, group := range t.parquet.RowGroups() {
		ok, err := t.groupRows(group, n, visit)
		if err != nil {
			return t.wrap(err)
		}
		if !ok {
			return nil
		}
		n += group.NumRows()
	}
	return nil
}

// groupRows is rows for one row group, whose first row is the n-th.
func (t *table) groupRows(group parquet.RowGroup, n int64, visit func(*row) (bool, error)) (bool, error) {
	r := &row{table: t, cursors: map[string]*cursor{}}
	defer r.close()
	chunks := group.ColumnChunks()
	for name, leaf := range t.leaves {
		if leaf < 0 {
			continue
		}
		if leaf >= len(chunks) {
			return false, fmt.Errorf("row group has %d columns, want %q as number %d", len(chunks), name, leaf)
		}
		r.cursors[name] = &cursor{chunk: chunks[leaf], seek: t.seek}
	}
	for r.index = range group.NumRows() {
		ok, err := visit(r)
		if err == nil {
			err = r.err
		}
		if err != nil {
			return false, fmt.Errorf("row %d: %w", n+r.index, err)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// row gives the values of a row. Those that aren't asked for cost little. Its
// methods return zero values after an error.
type row struct {
	table   *table
	cursors map[string]*cursor
	index   int64 // in the row group
	err     error // the first
}

// read calls f with the cursor of a column, and keeps its error.
func (r *row) read(name string, typ columnType, f func(*cursor) error) {
	if r.table.types[name] != typ {
		panic(fmt.Sprintf("column %q is bound as %q, and read as %q", name, r.table.types[name], typ))
	}
	c := r.cursors[name]
	if c == nil || r.err != nil {
		return
	}
	if err := guard(func() error { return f(c) }); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		r.err = fmt.Errorf("column %q: %w", name, err)
	}
}

// text returns a string; null is "".
func (r *row) text(name string) (s string) {
	r.read(name, textColumn, func(c *cursor) error {
		v, err := c.value(r.index)
		if err == nil && !v.IsNull() {
			s = string(v.ByteArray())
		}
		return err
	})
	return s
}

// integer returns an integer; null is 0.
func (r *row) integer(name string) (n int) {
	r.read(name, integerColumn, func(c *cursor) error {
		v, err := c.value(r.index)
		if err != nil || v.IsNull() {
			return err
		}
		if v.Kind() == parquet.Int32 {
			n = int(v.Int32())
		} else {
			n = int(v.Int64())
		}
		return nil
	})
	return n
}

// vector returns a list of n numbers; null is nil.
func (r *row) vector(name string, n int) (x []float32) {
	r.read(name, vectorColumn, func(c *cursor) (err error) {
		x, err = c.list(r.index, n)
		return err
	})
	return x
}

// close ends the reading of all columns.
func (r *row) close() {
	for _, c := range r.cursors {
		if c.pages != nil {
			guard(func() error { return c.pages.Close() })
		}
	}
}

// cursor reads one column of a row group in the order of its rows. It holds one
// page.
type cursor struct {
	chunk  parquet.ColumnChunk
	seek   bool
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	first  int64 // row of the first value of the page
	end    int64 // row behind the page, if no row has several values
	next   int64 // row of the next value
	buffer [64]parquet.Value
	ahead  []parquet.Value // in buffer, not yet used
}

// value returns the value of a row of a column without repetition. It is valid
// until the next call. Rows may be left out, but not come again.
func (c *cursor) value(index int64) (parquet.Value, error) {
	for index >= c.end {
		if err := c.nextPage(index); err != nil {
			return parquet.Value{}, err
		}
	}
	if index < c.first {
		return parquet.Value{}, fmt.Errorf("page begins with row %d, want %d", c.first, index)
	}
	for c.next+int64(len(c.ahead)) <= index {
		c.next += int64(len(c.ahead))
		if err := c.fill(); err != nil {
			return parquet.Value{}, err
		}
	}
	c.ahead = c.ahead[index-c.next:]
	c.next = index + 1
	v := c.ahead[0]
	c.ahead = c.ahead[1:]
	return v, nil
}

// nextPage reads the next page, or the one that has a row where the file tells.
func (c *cursor) nextPage(index int64) error {
	if c.pages == nil {
		c.pages = c.chunk.Pages()
	}
	first := c.end
	if c.seek && index > c.end {
		if err := c.pages.SeekToRow(index); err != nil {
			return err
		}
		first = index // the page is cut to begin there
	}
	if err := c.readPage(); err != nil {
		return err
	}
	c.first, c.next, c.end = first, first, first+c.page.NumRows()
	return nil
}

// readPage replaces the page by the next one.
func (c *cursor) readPage() error {
	if c.pages == nil {
		c.pages = c.chunk.Pages()
	}
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	page, err := c.pages.ReadPage()
	if err != nil {
		return err
	}
	c.page, c.values, c.ahead = page, page.Values(), nil
	return nil
}

// fill reads some values of the page.
func (c *cursor) fill() error {
	n, err := c.values.ReadValues(c.buffer[:])
	c.ahead = c.buffer[:n]
	if n > 0 {
		return nil
	}
	if err == nil || err == io.EOF {
		return io.EOF
	}
	return err
}

// list returns the float16 values of a row of a column with lists, which has to
// have n of them or none.
func (c *cursor) list(index int64, n int) ([]float32, error) {
	var x []float32
	for ; c.next <= index; c.next++ {
		x = x[:0]
		for k := 0; ; k++ {
			v, err := c.peek()
			if err == io.EOF && k > 0 {
				break // the last row
			}
			if err != nil {
				return nil, err
			}
			if (v.RepetitionLevel() == 0) != (k == 0) {
				if k > 0 {
					break // the next row
				}
				return nil, errors.New("list does not begin with a row")
			}
			c.ahead = c.ahead[1:]
			if c.next < index || v.IsNull() {
				continue
			}
			if len(x) == n {
				return nil, fmt.Errorf("list has more than %d values", n)
			}
			x = append(x, half.FromF16(binary.LittleEndian.Uint16(v.ByteArray())))
		}
	}
	if len(x) != 0 && len(x) != n {
		return nil, fmt.Errorf("list has %d values, want %d", len(x), n)
	}
	if len(x) == 0 {
		return nil, nil
	}
	return x, nil
}

// peek returns the next value of the column, on whatever page it is.
func (c *cursor) peek() (parquet.Value, error) {
	for len(c.ahead) == 0 {
		if c.page != nil {
			err := c.fill()
			if err == nil {
				break
			}
			if err != io.EOF {
				return parquet.Value{}, err
			}
		}
		if err := c.readPage(); err != nil {
			return parquet.Value{}, err
		}
	}
	return c.ahead[0], nil
}
