// Making sets: from ascending values and ranges, and in any order.

#include "core/sets/user_set.hpp"

#include <algorithm>

namespace shadow
{

using roaring::bitset;
using roaring::bitset_bytes;
using roaring::container;
using roaring::container_kind;
using roaring::high_half;
using roaring::low_half;
using roaring::low_values;
using roaring::run;
using roaring::writer;

// The number of leading values with the key of the first.
static std::size_t same_key(const std::uint32_t *values, std::size_t count) noexcept
{
    std::uint32_t const last_of_chunk = values[0] | 0xffff;
    return static_cast<std::size_t>(std::upper_bound(values, values + count, last_of_chunk) - values);
}

void write_sorted_values(const std::uint32_t *values, std::size_t count, writer &out,
                         interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    for (std::size_t n = 0; count > 0; values += n, count -= n) {
        poll.now();
        n = same_key(values, count);
        if (n <= roaring::array_limit) {
            low_values array;
            for (std::size_t i = 0; i < n; ++i)
                array.push(low_half(values[i]));
            out.append_array(high_half(values[0]), array.values, array.count);
        } else {
            bitset bits;
            bits.clear();
            for (std::size_t i = 0; i < n; ++i)
                bits.set(low_half(values[i]));
            out.append_bitset(high_half(values[0]), bits);
        }
    }
}

void write_sorted_ranges(const value_range *ranges, std::size_t count, writer &out,
                         interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    std::pmr::vector<run> runs(out.memory());
    std::uint16_t key = 0;
    auto const flush = [&] {
        poll.now();
        out.append_runs(key, runs.data(), static_cast<std::uint32_t>(runs.size()));
        runs.clear();
    };
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t first = ranges[i].first;
        std::uint32_t const last = ranges[i].last;
        for (;; ++first) {
            if (high_half(first) != key)
                flush();
            key = high_half(first);
            std::uint32_t const end = std::min(last, first | 0xffff);
            runs.push_back({low_half(first), low_half(end)});
            if (end == last)
                break;
            first = end;
        }
    }
    flush();
}

// -------------------------------------------------------------------------------------------------

// A batch costs one pass over the chunks, so it grows with their number.
static constexpr std::size_t smallest_batch = 4096;
static constexpr std::size_t largest_batch = 65536;

user_set_builder::~user_set_builder()
{
    for (chunk &c : chunks_)
        replace(c, nullptr, 0);
}

std::uint8_t *user_set_builder::allocate(std::size_t bytes)
{
    return static_cast<std::uint8_t *>(memory_->allocate(bytes, alignof(std::uint64_t)));
}

void user_set_builder::replace(chunk &c, std::uint8_t *data, std::size_t bytes) noexcept
{
    if (c.data != nullptr)
        memory_->deallocate(c.data, c.capacity, alignof(std::uint64_t));
    c.data = data;
    c.capacity = static_cast<std::uint32_t>(bytes);
}

std::size_t user_set_builder::find(std::uint16_t key) const noexcept
{
    auto const at = std::lower_bound(chunks_.begin(), chunks_.end(), key,
                                     [](const chunk &c, std::uint16_t wanted) { return c.key < wanted; });
    return at != chunks_.end() && at->key == key ? static_cast<std::size_t>(at - chunks_.begin())
                                                 : chunks_.size();
}

// Where bitsets prevail, looking one up beats sorting; elsewhere elements wait to be merged in batches.
void user_set_builder::add_elsewhere(std::uint32_t value)
{
    if (bitsets_ > 0 && 2 * bitsets_ >= chunks_.size()) {
        std::size_t const i = find(high_half(value));
        if (i < chunks_.size() && chunks_[i].kind == container_kind::bitset) {
            recent_ = i;
            bits_of(chunks_[i]).set(low_half(value));
            return;
        }
    }
    if (!pending_.empty() && pending_.back() == value)
        return;
    pending_.push_back(value);
    if (pending_.size() >= std::clamp(chunks_.size(), smallest_batch, largest_batch))
        settle();
}

void user_set_builder::settle()
{
    if (pending_.empty())
        return;
    if (!std::is_sorted(pending_.begin(), pending_.end()))
        std::sort(pending_.begin(), pending_.end());
    pending_.erase(std::unique(pending_.begin(), pending_.end()), pending_.end());
    const std::uint32_t *values = pending_.data();
    std::size_t count = pending_.size();
    insert_keys(count, [values](std::size_t i) { return high_half(values[i]); });
    for (std::size_t n = 0; count > 0; values += n, count -= n) {
        n = same_key(values, count);
        recent_ = find(high_half(values[0]));
        add_lows(chunks_[recent_], values, n);
    }
    pending_.clear();
}

// Makes an empty chunk for each key that has none; the keys ascend and may repeat. Merges from the back, in place.
template <typename KeyAt>
void user_set_builder::insert_keys(std::size_t count, KeyAt key_at)
{
    std::size_t missing = 0;
    std::size_t have = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0 && key_at(i) == key_at(i - 1))
            continue;
        while (have < chunks_.size() && chunks_[have].key < key_at(i))
            ++have;
        missing += have == chunks_.size() || chunks_[have].key != key_at(i) ? 1 : 0;
    }
    recent_ = 0;
    std::size_t old = chunks_.size();
    chunks_.resize(old + missing);
    while (missing > 0) {
        std::uint16_t const key = key_at(count - 1);
        if (old > 0 && chunks_[old - 1].key > key) {
            chunks_[old + missing - 1] = chunks_[old - 1];
            --old;
            continue;
        }
        if (old == 0 || chunks_[old - 1].key != key) {
            chunks_[old + missing - 1] = chunk{nullptr, 0, 0, 0, key, container_kind::array};
            --missing;
        }
        while (count > 0 && key_at(count - 1) == key)
            --count;
    }
}

void user_set_builder::become_bitset(chunk &c)
{
    if (c.kind == container_kind::bitset)
        return;
    auto *const bits = new (allocate(bitset_bytes)) bitset;
    bits->clear();
    if (c.kind == container_kind::run)
        runs_of(c).add_to(*bits);
    else
        for (std::uint32_t i = 0; i < c.cardinality; ++i)
            bits->set(array_of(c)[i]);
    replace(c, reinterpret_cast<std::uint8_t *>(bits), bitset_bytes);
    c.kind = container_kind::bitset;
    ++bitsets_;
}

void user_set_builder::add_lows(chunk &c, const std::uint32_t *values, std::size_t count)
{
    if (c.kind == container_kind::array && count <= roaring::array_limit) {
        low_values more;
        for (std::size_t i = 0; i < count; ++i)
            more.push(low_half(values[i]));
        return merge_array(c, more.values, more.count);
    }
    if (c.kind == container_kind::run && runs_of(c).is_full())
        return;
    become_bitset(c);
    for (std::size_t i = 0; i < count; ++i)
        bits_of(c).set(low_half(values[i]));
}

void user_set_builder::merge_array(chunk &c, const std::uint16_t *sorted, std::uint32_t count)
{
    low_values all;
    const std::uint16_t *const old = array_of(c);
    std::uint16_t *const end = std::set_union(old, old + c.cardinality, sorted, sorted + count, all.values);
    all.count = static_cast<std::uint32_t>(end - all.values);
    if (all.count > roaring::array_limit) {
        become_bitset(c);
        for (std::uint32_t i = 0; i < count; ++i)
            bits_of(c).set(sorted[i]);
        return;
    }
    std::size_t const bytes = 2 * std::size_t{all.count};
    if (bytes > c.capacity) {
        std::size_t const room =
            std::max<std::size_t>(16, std::min<std::size_t>(bitset_bytes, bytes + bytes / 2));
        replace(c, allocate(room), room);
    }
    std::memcpy(c.data, all.values, bytes);
    c.cardinality = all.count;
}

// A container taken over as it is, in place of whatever the chunk held.
void user_set_builder::adopt(chunk &c, const container &other)
{
    std::size_t const bytes = other.payload_size();
    std::uint8_t *const data = allocate(bytes);
    if (other.kind() == container_kind::bitset)
        other.assign_to(*new (data) bitset);
    else if (other.kind() == container_kind::run)
        std::memcpy(data, other.payload(), bytes);
    else
        for (std::uint32_t i = 0; i < other.cardinality(); ++i)
            reinterpret_cast<std::uint16_t *>(data)[i] = other.array_at(i);
    bitsets_ += other.kind() == container_kind::bitset ? 1 : 0;
    bitsets_ -= c.kind == container_kind::bitset ? 1 : 0;
    replace(c, data, bytes);
    c.cardinality = other.cardinality();
    c.runs = other.runs();
    c.kind = other.kind();
}

// Larger arrays are united as bits, as CRoaring's lazy unions are: merging costs their length for each set that comes.
static constexpr std::uint32_t merged_limit = 1024;

void user_set_builder::add_container(chunk &c, const container &other)
{
    if (c.data == nullptr || other.is_full())
        return adopt(c, other);
    if (c.kind == container_kind::run && runs_of(c).is_full())
        return;
    if (c.kind == container_kind::array && other.kind() == container_kind::array &&
        c.cardinality + other.cardinality() <= merged_limit) {
        low_values const more(other);
        return merge_array(c, more.values, more.count);
    }
    become_bitset(c);
    other.add_to(bits_of(c));
}

void user_set_builder::add(const user_set_view &set, interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    settle();
    insert_keys(set.container_count(),
                [&set](std::size_t i) { return set.container_at(static_cast<std::uint32_t>(i)).key(); });
    std::size_t at = 0;
    for (std::uint32_t i = 0; i < set.container_count(); ++i) {
        poll.now();
        container const c = set.container_at(i);
        while (chunks_[at].key != c.key())
            ++at;
        add_container(chunks_[at], c);
    }
}

void user_set_builder::add(user_set_builder &other, interrupt_check interrupted)
{
    writer set(memory_);
    other.write(set, interrupted);
    std::pmr::vector<std::uint8_t> bytes(set.portable_size(), memory_);
    set.write_portable(bytes.data());
    add(user_set_view::portable(bytes.data(), bytes.size()), interrupted);
}

void user_set_builder::write(writer &out, interrupt_check interrupted)
{
    interrupt_poll const poll(interrupted);
    settle();
    for (chunk &c : chunks_) {
        poll.now();
        if (c.kind == container_kind::bitset)
            out.append_bitset(c.key, bits_of(c));
        else if (c.kind == container_kind::array)
            out.append_array(c.key, array_of(c), c.cardinality);
        else
            out.append(runs_of(c));
    }
}

} // namespace shadow
