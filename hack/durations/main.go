// Prints the golden table of Go durations that tests/unit/test_duration.py reads: run it by hack/update-durations.sh.
package main

import (
	"encoding/json"
	"math"
	"math/rand"
	"os"
	"time"
)

type parsed struct {
	Text        string `json:"text"`
	Nanoseconds *int64 `json:"nanoseconds"`
}

type formatted struct {
	Nanoseconds int64  `json:"nanoseconds"`
	Text        string `json:"text"`
}

var texts = []string{
	"0", "+0", "-0", "0s", "+0s", "-0s", "00s", "0.0s", "5s", "+5s", "-5s", "30s", "1478s", "100ms", "150ms", "1.5s",
	"2h30m15s", "24h", "120s", "1h", "1m", "1ns", "1us", "1µs", "1μs", "65.123ms", "1m1.234567s", "5.0s", "5.6s",
	"5.s", ".5s", "1.0s", "1.00s", "1.004s", "1.0040s", "100.00100s", "10ns", "11us", "12µs", "12μs", "13ms", "14s",
	"15m", "16h", "3h30m", "10.5s4m", "-2m3.4s", "1h2m3s4ms5us6ns", "39h9m14.425s", "52763797000ns",
	"0.3333333333333333333h", "9007199254740993ns", "9223372036854775807ns", "9223372036854775.807us",
	"9223372036s854ms775us807ns", "9223372036854775808ns", "9223372036854775.808us", "9223372036854ms775us808ns",
	"9223372036s854ms775us808ns", "-9223372036854775808ns", "0.100000000000000000000h", "0.830103483285477580700h",
	"0.9223372036854775807h", "0.9223372036854775808h", "0.99999999999999999999s", "1.9999999999s", "0.0000000001s",
	"0.0000000009s", "0.9ns", "1.5ns", ".9ns", "0.1ns", "0.000001ms", "0.0000019ms", "2562047h47m16.854775807s",
	"2562047h47m16.854775808s", "2562047.7h", "2562047.8h", "1m1m", "1s1h", "1.1.1s", "", "3", "-", "s", ".", "-.",
	".s", "+.s", "1d", "1w", "1y", "1mm", "1M", "1H", "1S", "\x85\x85", "hello \xffworld", " 1s", "1s ", "1 s", "1_0s",
	"1e3s", "0x1s", "1,5s", "++1s", "+-1s", "１s", "1s\n", "NaN", "Inf", "1hs", "1msm", "1m s", "1µ", "1µm", "1μ",
	"0.s", "0.000000000000000000000000000000s", "000000000000000000000000001s", "99999999999999999999ns",
	"3000000h", "106752d", "1h-1m", "1h+1m", "∞", "1.2.3h", "..5s", "5..s", "1h.5m", "1.h", "1h1", "1h0",
}

func main() {
	random := rand.New(rand.NewSource(1))
	for i := 0; i < 300; i++ {
		texts = append(texts, time.Duration(random.Int63()>>random.Intn(63)).String())
	}
	units := []string{"ns", "us", "µs", "ms", "s", "m", "h"}
	digits := func(n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = byte('0' + random.Intn(10))
		}
		return string(out)
	}
	for i := 0; i < 700; i++ {
		texts = append(texts, digits(1+random.Intn(5))+"."+digits(random.Intn(24))+units[random.Intn(len(units))])
	}
	var table struct {
		Parse  []parsed    `json:"parse"`
		Format []formatted `json:"format"`
	}
	for _, text := range texts {
		row := parsed{Text: text}
		if d, err := time.ParseDuration(text); err == nil {
			n := int64(d)
			row.Nanoseconds = &n
		}
		table.Parse = append(table.Parse, row)
	}
	numbers := []int64{0, 1, 9, 10, 999, 1000, 1001, 1100, 999999, 1000000, 1000001, 65123000, 100000000, 999999999,
		1000000000, 1000000001, 1500000000, 59999999999, 60000000000, 61234567000, 3599999999999, 3600000000000,
		3600000000001, 7200000000000, 9015000000000, 86400000000000, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, -1,
		-1000, -1500000000, -3600000000000}
	for i := 0; i < 500; i++ {
		numbers = append(numbers, random.Int63()>>random.Intn(63))
	}
	for _, n := range numbers {
		table.Format = append(table.Format, formatted{n, time.Duration(n).String()})
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	if err := out.Encode(table); err != nil {
		panic(err)
	}
}
