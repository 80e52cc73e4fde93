#include "core/sets/user_set.hpp"

#include <algorithm>

namespace shadow
{

using roaring::bitset;
using roaring::bitset_bytes;
using roaring::bitset_words;
using roaring::chunk_size;
using roaring::container;
using roaring::container_kind;
using roaring::high_half;
using roaring::load;
using roaring::low_half;
using roaring::low_values;
using roaring::run;
using roaring::writer;

static constexpr std::uint8_t format_version = 1;

[[noreturn]] static void damaged(std::string detail)
{
    throw error(errc::corrupt_data, "invalid user_set", std::move(detail),
                "Expected a set of 32-bit integers in the portable Roaring format.");
}

// ---- Opening a value --------------------------------------------------------------------------------------

user_set_view user_set_view::stored(const std::uint8_t *bytes, std::size_t size)
{
    if (size == 0 || bytes[0] != format_version)
        damaged(size == 0 ? "The value has no bytes."
                          : "Its format version is " + std::to_string(bytes[0]) +
                                ", this library reads version " + std::to_string(format_version) + ".");
    return portable(bytes + 1, size - 1);
}

namespace
{

// Hands out the parts of a value in turn, never beyond its end.
class byte_reader
{
public:
    byte_reader(const std::uint8_t *bytes, std::size_t size) noexcept : bytes_(bytes), size_(size) {}
    const std::uint8_t *take(std::size_t count)
    {
        if (count > size_ - position_)
            damaged("The value ends after " + std::to_string(size_) + " bytes, inside its " + part_ + ".");
        const std::uint8_t *const p = bytes_ + position_;
        position_ += count;
        return p;
    }
    const std::uint8_t *peek() const noexcept { return bytes_ + position_; }
    std::size_t position() const noexcept { return position_; }
    std::size_t left() const noexcept { return size_ - position_; }
    void enter(const char *part) noexcept { part_ = part; }

private:
    const std::uint8_t *bytes_;
    std::size_t size_;
    std::size_t position_ = 0;
    const char *part_ = "header";
};

} // namespace

user_set_view user_set_view::portable(const std::uint8_t *bytes, std::size_t size)
{
    byte_reader in(bytes, size);
    user_set_view view;
    view.bytes_ = bytes;
    view.size_ = size;
    auto const cookie = load<std::uint32_t>(in.take(4));
    if ((cookie & 0xffff) == roaring::cookie_with_runs) {
        view.count_ = (cookie >> 16) + 1;
        view.run_flags_ = in.take((view.count_ + 7) / 8);
    } else if (cookie == roaring::cookie_without_runs) {
        view.count_ = load<std::uint32_t>(in.take(4));
        if (view.count_ > chunk_size)
            damaged("The header announces " + std::to_string(view.count_) +
                    " containers, at most 65536 are possible.");
    } else {
        damaged("The first four bytes are the number " + std::to_string(cookie) + ", not a Roaring cookie.");
    }
    view.headers_ = in.take(4 * std::size_t{view.count_});
    if (view.run_flags_ == nullptr || view.count_ >= roaring::offsets_from)
        view.offsets_ = in.take(4 * std::size_t{view.count_});
    view.payloads_ = in.peek();
    in.enter("containers");
    for (std::uint32_t i = 0; i < view.count_; ++i) {
        if (i > 0 && view.key_at(i) <= view.key_at(i - 1))
            damaged("The key of container " + std::to_string(i) + " does not ascend.");
        if (view.offsets_ != nullptr && load<std::uint32_t>(view.offsets_ + 4 * i) != in.position())
            damaged("The offset of container " + std::to_string(i) + " is not where it starts.");
        const std::uint8_t *const payload = in.peek();
        if (view.is_run_at(i) && in.left() >= 2 && load<std::uint16_t>(payload) == 0)
            damaged("Container " + std::to_string(i) + " is an empty list of runs.");
        in.take(view.is_run_at(i) && in.left() < 2 ? 2 : view.container_with(i, payload).payload_size());
    }
    if (in.left() != 0)
        damaged("After the last container " + std::to_string(in.left()) + " more bytes follow.");
    return view;
}

container user_set_view::container_with(std::uint32_t i, const std::uint8_t *payload) const noexcept
{
    const std::uint8_t *const header = headers_ + 4 * std::size_t{i};
    auto const key = load<std::uint16_t>(header);
    std::uint32_t const cardinality = std::uint32_t{load<std::uint16_t>(header + 2)} + 1;
    if (is_run_at(i))
        return {key, container_kind::run, cardinality, load<std::uint16_t>(payload), payload};
    auto const kind = cardinality <= roaring::array_limit ? container_kind::array : container_kind::bitset;
    return {key, kind, cardinality, 0, payload};
}

container user_set_view::container_at(std::uint32_t i) const noexcept
{
    if (offsets_ != nullptr)
        return container_with(i, bytes_ + load<std::uint32_t>(offsets_ + 4 * std::size_t{i}));
    const std::uint8_t *payload = payloads_;
    for (std::uint32_t before = 0; before < i; ++before)
        payload += container_with(before, payload).payload_size();
    return container_with(i, payload);
}

std::uint64_t user_set_view::cardinality() const noexcept
{
    std::uint64_t total = count_;
    for (std::size_t i = 0; i < count_; ++i)
        total += load<std::uint16_t>(headers_ + 4 * i + 2);
    return total;
}

bool user_set_view::contains(std::uint32_t value) const noexcept
{
    std::uint32_t begin = 0;
    std::uint32_t end = count_;
    while (begin < end) {
        std::uint32_t const middle = (begin + end) / 2;
        if (key_at(middle) < high_half(value))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < count_ && key_at(begin) == high_half(value) &&
           container_at(begin).contains(low_half(value));
}

std::uint32_t user_set_view::min() const noexcept
{
    container const c = container_at(0);
    return c.base() | c.min();
}

std::uint32_t user_set_view::max() const noexcept
{
    container const c = container_at(count_ - 1);
    return c.base() | c.max();
}

// ---- One element at a time --------------------------------------------------------------------------------

void user_set_cursor::open(std::uint32_t container) noexcept
{
    container_ = container;
    position_ = 0;
    if (container == set_.container_count())
        return;
    current_ = set_.container_at(container);
    if (current_.kind() == container_kind::bitset)
        word_ = current_.word_at(0);
    else if (current_.kind() == container_kind::run)
        next_in_run_ = current_.run_at(0).first;
}

bool user_set_cursor::next(std::uint32_t &value) noexcept
{
    for (std::uint16_t low = 0; container_ < set_.container_count(); open(container_ + 1))
        if (next_low(low)) {
            value = current_.base() | low;
            return true;
        }
    return false;
}

bool user_set_cursor::next_low(std::uint16_t &low) noexcept
{
    if (current_.kind() == container_kind::array) {
        if (position_ == current_.cardinality())
            return false;
        low = current_.array_at(position_++);
    } else if (current_.kind() == container_kind::bitset) {
        while (word_ == 0) {
            if (++position_ >= bitset_words)
                return false;
            word_ = current_.word_at(position_);
        }
        low = static_cast<std::uint16_t>(64 * position_ + static_cast<unsigned>(__builtin_ctzll(word_)));
        word_ &= word_ - 1;
    } else {
        while (next_in_run_ > current_.run_at(position_).last) {
            if (++position_ == current_.runs())
                return false;
            next_in_run_ = current_.run_at(position_).first;
        }
        low = static_cast<std::uint16_t>(next_in_run_++);
    }
    return true;
}

// ---- Writing and foreign bytes ----------------------------------------------------------------------------

std::size_t stored_size(const writer &set) noexcept
{
    return 1 + set.portable_size();
}

void write_stored(const writer &set, std::uint8_t *out) noexcept
{
    out[0] = format_version;
    set.write_portable(out + 1);
}

namespace
{

std::string in_container(const container &c)
{
    return " in the container of key " + std::to_string(c.key()) + ".";
}

void decode_array(const container &c, writer &out)
{
    low_values const array(c);
    for (std::uint32_t i = 1; i < array.count; ++i)
        if (array.values[i] <= array.values[i - 1])
            damaged("The elements do not ascend" + in_container(c));
    out.append_array(c.key(), array.values, array.count);
}

void decode_bitset(const container &c, writer &out)
{
    bitset bits;
    c.assign_to(bits);
    if (bits.count() != c.cardinality())
        damaged("The number of elements is not that of the header" + in_container(c));
    out.append_bitset(c.key(), bits);
}

void decode_runs(const container &c, writer &out)
{
    std::pmr::vector<run> runs(out.memory());
    runs.reserve(c.runs());
    std::uint32_t cardinality = 0;
    for (std::uint32_t i = 0; i < c.runs(); ++i) {
        const std::uint8_t *const p = c.payload() + 2 + 4 * std::size_t{i};
        std::uint32_t const first = load<std::uint16_t>(p);
        std::uint32_t const last = first + load<std::uint16_t>(p + 2);
        if (last >= chunk_size || (!runs.empty() && first <= runs.back().last))
            damaged("Runs overlap or leave the chunk" + in_container(c));
        cardinality += last - first + 1;
        if (!runs.empty() && first == runs.back().last + 1U)
            runs.back().last = static_cast<std::uint16_t>(last);
        else
            runs.push_back({static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last)});
    }
    if (cardinality != c.cardinality())
        damaged("The number of elements is not that of the header" + in_container(c));
    out.append_runs(c.key(), runs.data(), static_cast<std::uint32_t>(runs.size()));
}

} // namespace

void decode_portable(const std::uint8_t *bytes, std::size_t size, writer &out, interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    user_set_view const view = user_set_view::portable(bytes, size);
    for (std::uint32_t i = 0; i < view.container_count(); ++i) {
        poll.now();
        container const c = view.container_at(i);
        if (c.kind() == container_kind::array)
            decode_array(c, out);
        else if (c.kind() == container_kind::bitset)
            decode_bitset(c, out);
        else
            decode_runs(c, out);
    }
}

// ---- Algebra ----------------------------------------------------------------------------------------------

namespace
{

bool both_arrays(const container &a, const container &b) noexcept
{
    return a.kind() == container_kind::array && b.kind() == container_kind::array;
}

void unite_pair(const container &a, const container &b, writer &out)
{
    if (a.is_full() || b.is_full())
        return out.append(a.is_full() ? a : b);
    if (both_arrays(a, b)) {
        low_values const x(a);
        low_values const y(b);
        low_values all;
        all.count = static_cast<std::uint32_t>(
            std::set_union(x.begin(), x.end(), y.begin(), y.end(), all.values) - all.values);
        return out.append_array(a.key(), all.values, all.count);
    }
    bitset bits;
    a.assign_to(bits);
    b.add_to(bits);
    out.append_bitset(a.key(), bits);
}

// The elements of an array whose presence in the other container is as wanted.
void filter_array(const container &array, const container &other, bool wanted, writer &out)
{
    low_values kept;
    array.for_each([&](std::uint16_t low) {
        if (other.contains(low) == wanted)
            kept.push(low);
    });
    out.append_array(array.key(), kept.values, kept.count);
}

void intersect_pair(const container &a, const container &b, writer &out)
{
    if (a.is_full() || b.is_full())
        return out.append(a.is_full() ? b : a);
    if (a.kind() == container_kind::array && (!both_arrays(a, b) || a.cardinality() <= b.cardinality()))
        return filter_array(a, b, true, out);
    if (b.kind() == container_kind::array)
        return filter_array(b, a, true, out);
    bitset bits;
    a.assign_to(bits);
    b.keep_in(bits);
    out.append_bitset(a.key(), bits);
}

void subtract_pair(const container &a, const container &b, writer &out)
{
    if (a.kind() == container_kind::array)
        return filter_array(a, b, false, out);
    bitset bits;
    a.assign_to(bits);
    b.remove_from(bits);
    out.append_bitset(a.key(), bits);
}

void flip_pair(const container &a, const container &b, writer &out)
{
    bitset bits;
    a.assign_to(bits);
    b.flip_in(bits);
    out.append_bitset(a.key(), bits);
}

// Walks two sets by key: only_a(container), only_b(container) or both(container, container).
template <typename OnlyA, typename OnlyB, typename Both>
void walk(const user_set_view &a, const user_set_view &b, interrupt_check interrupted, OnlyA only_a,
          OnlyB only_b, Both both)
{
    interrupt_poll const poll(interrupted);
    std::uint32_t i = 0;
    std::uint32_t j = 0;
    while (i < a.container_count() || j < b.container_count()) {
        poll.now();
        if (j == b.container_count()) {
            only_a(a.container_at(i++));
        } else if (i == a.container_count()) {
            only_b(b.container_at(j++));
        } else {
            container const x = a.container_at(i);
            container const y = b.container_at(j);
            if (x.key() < y.key())
                only_a(x);
            else if (y.key() < x.key())
                only_b(y);
            else
                both(x, y);
            i += x.key() <= y.key() ? 1 : 0;
            j += y.key() <= x.key() ? 1 : 0;
        }
    }
}

void ignore(const container &) noexcept {}

} // namespace

void unite(const user_set_view &a, const user_set_view &b, writer &out, interrupt_check interrupted)
{
    auto const copy = [&out](const container &c) { out.append(c); };
    walk(a, b, interrupted, copy, copy,
         [&out](const container &x, const container &y) { unite_pair(x, y, out); });
}

void intersect(const user_set_view &a, const user_set_view &b, writer &out, interrupt_check interrupted)
{
    walk(a, b, interrupted, ignore, ignore,
         [&out](const container &x, const container &y) { intersect_pair(x, y, out); });
}

void subtract(const user_set_view &a, const user_set_view &b, writer &out, interrupt_check interrupted)
{
    walk(
        a, b, interrupted, [&out](const container &c) { out.append(c); }, ignore,
        [&out](const container &x, const container &y) { subtract_pair(x, y, out); });
}

void symmetric_difference(const user_set_view &a, const user_set_view &b, writer &out,
                          interrupt_check interrupted)
{
    auto const copy = [&out](const container &c) { out.append(c); };
    walk(a, b, interrupted, copy, copy,
         [&out](const container &x, const container &y) { flip_pair(x, y, out); });
}

std::uint64_t intersection_cardinality(const user_set_view &a, const user_set_view &b,
                                       interrupt_check interrupted)
{
    std::uint64_t total = 0;
    walk(a, b, interrupted, ignore, ignore,
         [&total](const container &x, const container &y) { total += intersection_count(x, y); });
    return total;
}

bool includes(const user_set_view &whole, const user_set_view &part, interrupt_check interrupted)
{
    std::uint64_t const wanted = part.cardinality();
    return wanted <= whole.cardinality() && intersection_cardinality(whole, part, interrupted) == wanted;
}

bool overlaps(const user_set_view &a, const user_set_view &b, interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    std::uint32_t i = 0;
    std::uint32_t j = 0;
    while (i < a.container_count() && j < b.container_count()) {
        poll.now();
        container const x = a.container_at(i);
        container const y = b.container_at(j);
        if (x.key() == y.key() && intersection_count(x, y) > 0)
            return true;
        i += x.key() <= y.key() ? 1 : 0;
        j += y.key() <= x.key() ? 1 : 0;
    }
    return false;
}

// alone(container) for a chunk that one set has, united(key, bits) for one that several have.
template <typename Alone, typename United>
static void unite_chunks(const user_set_view *sets, std::size_t count, std::pmr::memory_resource *memory,
                         interrupt_check interrupted, Alone alone, United united)
{
    interrupt_poll const poll(interrupted);
    std::pmr::vector<std::uint32_t> next(count, 0, memory);
    bitset bits;
    for (;;) {
        poll.now();
        std::uint32_t key = chunk_size;
        for (std::size_t s = 0; s < count; ++s)
            if (next[s] < sets[s].container_count())
                key = std::min<std::uint32_t>(key, sets[s].container_at(next[s]).key());
        if (key == chunk_size)
            return;
        std::size_t found = 0;
        container first;
        for (std::size_t s = 0; s < count; ++s) {
            if (next[s] == sets[s].container_count() || sets[s].container_at(next[s]).key() != key)
                continue;
            container const c = sets[s].container_at(next[s]++);
            if (++found == 1)
                first = c;
            else if (found == 2)
                first.assign_to(bits), c.add_to(bits);
            else
                c.add_to(bits);
        }
        if (found == 1)
            alone(first);
        else
            united(static_cast<std::uint16_t>(key), bits);
    }
}

std::uint64_t union_cardinality(const user_set_view *sets, std::size_t count,
                                std::pmr::memory_resource *memory, interrupt_check interrupted)
{
    std::uint64_t total = 0;
    unite_chunks(
        sets, count, memory, interrupted, [&total](const container &c) { total += c.cardinality(); },
        [&total](std::uint16_t, const bitset &bits) { total += bits.count(); });
    return total;
}

// ---- Order ------------------------------------------------------------------------------------------------

namespace
{

bool same_bytes(const container &a, const container &b) noexcept
{
    return a.kind() == b.kind() && a.payload_size() == b.payload_size() &&
           std::memcmp(a.payload(), b.payload(), a.payload_size()) == 0;
}

// Two chunks of one key: 0 if equal; else the set that has the first element not shared is the smaller one,
// unless the other set ends before it. `more_x` and `more_y`: whether further chunks follow.
int compare_chunks(const container &x, const container &y, bool more_x, bool more_y) noexcept
{
    bitset a;
    bitset b;
    x.assign_to(a);
    y.assign_to(b);
    for (std::size_t i = 0; i < bitset_words; ++i) {
        std::uint64_t const different = a.word(i) ^ b.word(i);
        if (different == 0)
            continue;
        unsigned const bit = static_cast<unsigned>(__builtin_ctzll(different));
        bool const x_has_it = (a.word(i) >> bit & 1) != 0;
        bitset const &other = x_has_it ? b : a;
        bool other_goes_on = (x_has_it ? more_y : more_x) || (other.word(i) >> bit) != 0;
        for (std::size_t j = i + 1; j < bitset_words && !other_goes_on; ++j)
            other_goes_on = other.word(j) != 0;
        return x_has_it == other_goes_on ? -1 : 1;
    }
    return 0;
}

} // namespace

int compare(const user_set_view &a, const user_set_view &b, interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    std::uint32_t const shared = std::min(a.container_count(), b.container_count());
    for (std::uint32_t i = 0; i < shared; ++i) {
        poll.now();
        container const x = a.container_at(i);
        container const y = b.container_at(i);
        if (x.key() != y.key())
            return x.key() < y.key() ? -1 : 1;
        if (same_bytes(x, y))
            continue;
        int const order = compare_chunks(x, y, i + 1 < a.container_count(), i + 1 < b.container_count());
        if (order != 0)
            return order;
    }
    return (a.container_count() > shared) - (b.container_count() > shared);
}

} // namespace shadow
