#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/selection.hpp"

#include "entry/quantiles/numeric_percentiles.hpp"
#include "pg/boundary.hpp"
#include "pg/memory.hpp"

namespace shadow::entry
{

namespace
{

// What one pass over the numbers tells.
struct profile {
    std::size_t count;   // non-NULL
    int integer_places;  // enough for every finite value
    int fraction_places; // likewise
    int display_scale;   // the most decimals shown
};

// Where a quantile lies, exactly: order statistics from 0, and the upper one's share as numerator/denominator.
struct exact_position {
    std::size_t lower;
    std::size_t upper;
    Numeric numerator; // nullptr: the lower one alone
    int denominator;
};

// An order statistic in one of the two forms. The 128 bits are in halves, as palloc aligns to 8 bytes only.
struct selected {
    std::uint64_t low;
    std::int64_t high;
    const char *numeric; // set when scaled integers were too narrow

    static selected of(int128 value)
    {
        return {static_cast<std::uint64_t>(value), static_cast<std::int64_t>(value >> 64), nullptr};
    }
    int128 scaled() const { return static_cast<int128>(static_cast<uint128>(high) << 64 | low); }
};

// Marks for NaN, infinity (one less) and -infinity (negated), beyond every scaled value.
constexpr int128 largest = static_cast<int128>(~uint128{0} >> 1);

// Calls visit(pg::numeric_view, address) for each non-NULL numeric.
template <typename Visit>
void for_each_numeric(const number_source &source, Visit visit)
{
    interrupt_poll poll(pg::interrupted);
    const char *at = source.data;
    for (std::size_t i = 0; i < source.slots; ++i) {
        poll();
        if (pg::is_null_slot(source.nulls, i))
            continue;
        at = reinterpret_cast<const char *>(att_align_pointer(at, TYPALIGN_INT, -1, at));
        visit(pg::numeric_view(at), at);
        at += VARSIZE_ANY(at);
    }
}

profile profile_of(const number_source &source)
{
    profile p{0, 0, 0, 0};
    if (source.is_bigint) {
        p.integer_places = 19;
        for (std::size_t i = 0; i < source.slots; ++i)
            p.count += pg::is_null_slot(source.nulls, i) ? 0 : 1;
        return p;
    }
    for_each_numeric(source, [&p](const pg::numeric_view &v, const char *) {
        ++p.count;
        p.integer_places = std::max(p.integer_places, v.integer_places());
        p.fraction_places = std::max(p.fraction_places, v.fraction_places());
        p.display_scale = std::max(p.display_scale, v.display_scale());
    });
    return p;
}

// Signed keys in unsigned order; the special values take the ends that no finite value reaches.
template <typename Signed, typename Unsigned>
struct scaled_keys {
    static constexpr Unsigned sign = Unsigned{1} << (8 * sizeof(Unsigned) - 1);
    static constexpr Unsigned negative_infinity = 0, nan = ~Unsigned{0}, positive_infinity = nan - 1;

    static Unsigned of(Signed value) { return static_cast<Unsigned>(value) ^ sign; }
    static Unsigned of(const pg::numeric_view &v, int scale)
    {
        Signed value = 0;
        if (v.to_scaled(scale, value))
            return of(value);
        return v.kind() == pg::numeric_kind::nan                 ? nan
               : v.kind() == pg::numeric_kind::positive_infinity ? positive_infinity
                                                                 : negative_infinity;
    }
    static selected result(Unsigned key)
    {
        if (key == nan)
            return selected::of(largest);
        if (key == positive_infinity)
            return selected::of(largest - 1);
        if (key == negative_infinity)
            return selected::of(-largest);
        return selected::of(static_cast<Signed>(key ^ sign));
    }
};

template <typename Signed, typename Unsigned>
void select_scaled(const number_source &source, const profile &p, const std::size_t *ranks,
                   std::size_t rank_count, selected *out)
{
    using keys_of = scaled_keys<Signed, Unsigned>;
    pg::palloc_resource memory(CurrentMemoryContext);
    std::pmr::vector<Unsigned> keys(&memory);
    keys.reserve(p.count);
    if (source.is_bigint) {
        auto const *const values = reinterpret_cast<const std::int64_t *>(source.data);
        for (std::size_t i = 0; i < p.count; ++i) // NULLs take no room in an array's body
            keys.push_back(keys_of::of(static_cast<Signed>(values[i])));
    } else {
        for_each_numeric(source, [&](const pg::numeric_view &v, const char *) {
            keys.push_back(keys_of::of(v, p.fraction_places));
        });
    }
    std::pmr::vector<Unsigned> found(rank_count, &memory);
    select_ranks([data = keys.data()](std::size_t i) { return data[i]; }, keys.size(), ranks, rank_count,
                 found.data(), &memory, pg::interrupted);
    std::transform(found.begin(), found.end(), out, keys_of::result);
}

// Numbers too wide for 128 bits are compared as they lie.
void select_wide(const number_source &source, const profile &p, const std::size_t *ranks,
                 std::size_t rank_count, selected *out)
{
    pg::palloc_resource memory(CurrentMemoryContext);
    std::pmr::vector<const char *> items(&memory);
    items.reserve(p.count);
    for_each_numeric(source, [&](const pg::numeric_view &, const char *at) { items.push_back(at); });
    std::pmr::vector<const char *> found(rank_count, &memory);
    interrupt_poll const poll(pg::interrupted);
    auto const less = [&poll](const char *left, const char *right) {
        poll.now(); // one comparison may read 70 kB
        return pg::compare(pg::numeric_view(left), pg::numeric_view(right)) < 0;
    };
    shadow::detail::wanted_ranks<const char *> const wanted{ranks, rank_count, found.data(), 0};
    shadow::detail::select_in_place<const char *>(items.data(), items.data() + items.size(), wanted, less);
    for (std::size_t i = 0; i < rank_count; ++i)
        out[i] = {0, 0, found[i]};
}

void select_numbers(const number_source &source, const profile &p, const std::size_t *ranks,
                    std::size_t rank_count, selected *out)
{
    int const places = p.integer_places + p.fraction_places;
    if (places <= 18)
        select_scaled<std::int64_t, std::uint64_t>(source, p, ranks, rank_count, out);
    else if (places <= 38)
        select_scaled<int128, uint128>(source, p, ranks, rank_count, out);
    else
        select_wide(source, p, ranks, rank_count, out);
}

// numeric's own arithmetic on plain pointers.
Numeric from_int64(std::int64_t value)
{
    return pg::numeric_from_scaled(value, 0);
}
Numeric apply(PGFunction f, Numeric a, Numeric b)
{
    return DatumGetNumeric(DirectFunctionCall2(f, NumericGetDatum(a), NumericGetDatum(b)));
}
Numeric add(Numeric a, Numeric b)
{
    return apply(numeric_add, a, b);
}
Numeric subtract(Numeric a, Numeric b)
{
    return apply(numeric_sub, a, b);
}
Numeric multiply(Numeric a, Numeric b)
{
    return apply(numeric_mul, a, b);
}
Numeric divide(Numeric a, Numeric b)
{
    return apply(numeric_div, a, b);
}
Numeric round_to(Numeric a, int scale)
{
    return DatumGetNumeric(DirectFunctionCall2(numeric_round, NumericGetDatum(a), Int32GetDatum(scale)));
}
bool is_zero(Numeric a)
{
    return pg::numeric_view(a).is_finite() && pg::numeric_view(a).digit_count() == 0;
}
bool equal(Numeric a, Numeric b)
{
    return pg::compare(pg::numeric_view(a), pg::numeric_view(b)) == 0;
}
std::int64_t floor_of(Numeric a)
{
    Datum const whole = DirectFunctionCall1(numeric_floor, NumericGetDatum(a));
    return DatumGetInt64(DirectFunctionCall1(numeric_int8, whole));
}

exact_position step_position(quantile_type type, Numeric fraction, std::size_t count)
{
    bool const is_closest = type == quantile_type::closest_observation;
    Numeric place = multiply(fraction, from_int64(static_cast<std::int64_t>(count)));
    if (is_closest)
        place = subtract(place, pg::numeric_from_scaled(5, 1));
    std::int64_t const whole = floor_of(place);
    bool const is_whole = equal(place, from_int64(whole));
    double weight = is_whole ? 0 : 1;
    if (is_closest && whole % 2 != 0)
        weight = 1;
    if (type == quantile_type::averaged_inverted_cdf && is_whole)
        weight = 0.5;
    auto const held = hold_inside(whole, weight, count);
    return {held.lower, held.upper, weight == 0.5 ? from_int64(1) : nullptr, 2};
}

// position * denominator = a + fraction * (denominator * (count + 1) - a - b), all integers but the fraction.
exact_position find_position(quantile_type type, Numeric fraction, std::size_t count)
{
    if (type <= quantile_type::closest_observation)
        return step_position(type, fraction, count);
    auto const rule = plotting_position_of(type);
    std::int64_t const slope = rule.denominator * (static_cast<std::int64_t>(count) + 1) - rule.a - rule.b;
    Numeric const place = add(from_int64(rule.a), multiply(fraction, from_int64(slope)));
    std::int64_t const whole = floor_of(place) / rule.denominator;
    Numeric const rest = subtract(place, from_int64(whole * rule.denominator));
    auto const held = hold_inside(whole, is_zero(rest) ? 0 : 0.5, count);
    return {held.lower, held.upper, is_zero(rest) ? nullptr : rest, rule.denominator};
}

// sum / 3: exact if that is a finite decimal, else 20 significant digits, but no fewer decimals than `scale`.
Numeric third_of(Numeric sum, int scale)
{
    Numeric const three = from_int64(3);
    Numeric const third = divide(sum, three);
    Numeric const exact = round_to(third, pg::numeric_view(sum).display_scale());
    if (equal(multiply(exact, three), sum))
        return exact;
    int const decimals = std::max(scale, 20 - pg::numeric_view(third).integer_places());
    return round_to(
        divide(round_to(sum, std::max(decimals, pg::numeric_view(sum).display_scale()) + 2), three),
        decimals);
}

Numeric special(const char *text)
{
    return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
                                               ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

// Only -infinity with infinity has no value in between.
Numeric interpolate_special(Numeric lower, Numeric upper)
{
    auto const low = pg::numeric_view(lower).kind(), high = pg::numeric_view(upper).kind();
    if (low == high)
        return lower;
    bool const opposite =
        low == pg::numeric_kind::negative_infinity && high == pg::numeric_kind::positive_infinity;
    if (opposite || high == pg::numeric_kind::nan)
        return special("NaN");
    return low == pg::numeric_kind::finite ? upper : lower;
}

Numeric interpolate_exactly(Numeric lower, Numeric upper, const exact_position &position)
{
    if (position.numerator == nullptr || equal(lower, upper))
        return lower;
    if (!pg::numeric_view(lower).is_finite() || !pg::numeric_view(upper).is_finite())
        return interpolate_special(lower, upper);
    Numeric const part = multiply(subtract(upper, lower), position.numerator);
    int const scale =
        std::max(pg::numeric_view(lower).display_scale(), pg::numeric_view(upper).display_scale());
    switch (position.denominator) {
    case 2:
        return add(lower, multiply(part, pg::numeric_from_scaled(5, 1)));
    case 3:
        return third_of(add(multiply(lower, from_int64(3)), part), scale);
    case 8:
        return add(lower, multiply(part, pg::numeric_from_scaled(125, 3)));
    default:
        return add(lower, part);
    }
}

Numeric to_numeric(const selected &s, int scale)
{
    if (s.numeric != nullptr) // aligned and with a long header, whatever it was
        return DatumGetNumericCopy(PointerGetDatum(s.numeric));
    int128 const value = s.scaled();
    if (value == largest)
        return special("NaN");
    if (value == largest - 1 || value == -largest)
        return special(value < 0 ? "-Infinity" : "Infinity");
    return pg::numeric_from_scaled(value, scale);
}

// The decimals the input shows, or more if the value needs them.
Numeric show(Numeric value, int display_scale)
{
    pg::numeric_view const v(value);
    if (!v.is_finite())
        return value;
    return round_to(value, std::max(display_scale, v.needed_scale()));
}

// The wanted ranks, sorted and each once. Returns their number.
std::size_t ranks_of(const exact_position *positions, int count, std::size_t *ranks)
{
    for (int i = 0; i < count; ++i) {
        ranks[2 * i] = positions[i].lower;
        ranks[2 * i + 1] = positions[i].upper;
    }
    std::sort(ranks, ranks + 2 * count);
    return static_cast<std::size_t>(std::unique(ranks, ranks + 2 * count) - ranks);
}

// One percentile after the other: what each takes, up to megabytes for the widest numbers, is freed at once.
template <typename Compute>
void for_each_fraction(const pg::datum_span &result, Compute compute)
{
    MemoryContext const caller = CurrentMemoryContext;
    MemoryContext const scratch = AllocSetContextCreate(caller, "percentile", ALLOCSET_DEFAULT_SIZES);
    for (int i = 0; i < result.count; ++i) {
        CHECK_FOR_INTERRUPTS();
        if (result.nulls[i])
            continue;
        MemoryContextSwitchTo(scratch);
        compute(i, caller);
        MemoryContextSwitchTo(caller);
        MemoryContextReset(scratch);
    }
    MemoryContextDelete(scratch);
}

Numeric copy_to(MemoryContext context, Numeric value)
{
    MemoryContext const scratch = MemoryContextSwitchTo(context);
    Numeric const copy = DatumGetNumericCopy(NumericGetDatum(value));
    MemoryContextSwitchTo(scratch);
    return copy;
}

} // namespace

number_source numbers_of(ArrayType *array)
{
    return {ARR_DATA_PTR(array), ARR_NULLBITMAP(array), pg::array_size(array),
            ARR_ELEMTYPE(array) == INT8OID};
}

pg::datum_span numeric_fractions(ArrayType *array)
{
    pg::datum_span const fractions = pg::deconstruct(array);
    Numeric const one = from_int64(1);
    for (int i = 0; i < fractions.count; ++i) {
        if (fractions.nulls[i])
            continue;
        if (ARR_ELEMTYPE(array) == INT4OID)
            fractions.values[i] = NumericGetDatum(from_int64(DatumGetInt32(fractions.values[i])));
        pg::numeric_view const fraction(DatumGetPointer(fractions.values[i]));
        bool const is_inside = fraction.is_finite() &&
                               (fraction.digit_count() == 0 || !fraction.is_negative()) &&
                               pg::compare(fraction, pg::numeric_view(one)) <= 0;
        if (!is_inside)
            refuse_fraction(DatumGetCString(DirectFunctionCall1(numeric_out, fractions.values[i])),
                            static_cast<std::size_t>(i) + 1);
    }
    return fractions;
}

Datum numeric_percentiles(const number_source &numbers, const pg::datum_span &fractions, quantile_type type)
{
    profile const p = profile_of(numbers);
    limits::check(std::int64_t{p.integer_places + p.fraction_places} * fractions.count,
                  limits::percentile_digits, "digits of percentiles",
                  "round the numbers or give fewer fractions.");
    std::size_t const wanted = static_cast<std::size_t>(fractions.count) + 1; // palloc(0) is allowed, but odd
    pg::datum_span const result{static_cast<Datum *>(palloc0(wanted * sizeof(Datum))),
                                static_cast<bool *>(palloc0(wanted * sizeof(bool))), fractions.count};
    auto *const positions = static_cast<exact_position *>(palloc0(wanted * sizeof(exact_position)));
    for (int i = 0; i < fractions.count; ++i)
        result.nulls[i] = fractions.nulls[i] || p.count == 0;
    for_each_fraction(result, [&](int i, MemoryContext caller) {
        positions[i] = find_position(type, DatumGetNumeric(fractions.values[i]), p.count);
        if (positions[i].numerator != nullptr)
            positions[i].numerator = copy_to(caller, positions[i].numerator);
    });
    if (p.count > 0 && fractions.count > 0) {
        auto *const ranks = static_cast<std::size_t *>(palloc(2 * wanted * sizeof(std::size_t)));
        std::size_t const rank_count = ranks_of(positions, fractions.count, ranks);
        auto *const found = static_cast<selected *>(palloc(rank_count * sizeof(selected)));
        select_numbers(numbers, p, ranks, rank_count, found);
        auto const at = [&](std::size_t rank) {
            return to_numeric(found[std::lower_bound(ranks, ranks + rank_count, rank) - ranks],
                              p.fraction_places);
        };
        for_each_fraction(result, [&](int i, MemoryContext caller) {
            Numeric const value =
                interpolate_exactly(at(positions[i].lower), at(positions[i].upper), positions[i]);
            result.values[i] = NumericGetDatum(copy_to(caller, show(value, p.display_scale)));
        });
    }
    return make_array(result, NUMERICOID);
}

} // namespace shadow::entry
