#include "core/rollup/batch.hpp"

namespace shadow
{

// Of a batch: few enough bytes for the processor's cache, enough that a workspace among thousands has dozens of events.
constexpr std::size_t block_bytes = 1u << 18;
constexpr std::uint32_t most_blocks = 64;
constexpr std::uint32_t first_chunk_bytes = 256, chunk_bytes = 1024;

static std::uint32_t bytes_of(const decoded_head &event) noexcept
{
    return sizeof(decoded_head) + (event.has_facts ? sizeof(decoded_facts) : 0);
}
static_assert(sizeof(decoded_head) % alignof(decoded_facts) == 0);
static_assert(sizeof(event_chunk) % alignof(decoded_head) == 0);
static_assert(sizeof(event_chunk) + sizeof(decoded_event) <= first_chunk_bytes);

// nullptr: the batch is full.
char *event_batch::take(std::size_t bytes)
{
    if (blocks_.size() == 0 || used_ + bytes > block_bytes) {
        if (blocks_.size() != 0 && ++block_ == most_blocks)
            return nullptr;
        if (block_ == blocks_.size())
            blocks_.push(static_cast<char *>(memory_->allocate(block_bytes, alignof(std::max_align_t))));
        used_ = 0;
    }
    char *const taken = blocks_[block_] + used_;
    used_ += bytes;
    return taken;
}

std::uint32_t event_batch::open(rollup_state *target)
{
    return queues_.push({target, nullptr, 0, nullptr, nullptr});
}

void event_batch::append_chunk(const rollup_rules &rules, std::uint32_t place)
{
    std::uint32_t size = queues_[place].last == nullptr ? first_chunk_bytes : chunk_bytes;
    char *space = take(size);
    if (space == nullptr) {
        flush(rules);
        space = take(size = first_chunk_bytes);
    }
    queue &l = queues_[place];
    auto *const chunk = new (space) event_chunk{nullptr, nullptr};
    if (l.last != nullptr) {
        l.last->end = l.at;
        l.last->next = chunk;
    } else {
        l.first = chunk;
    }
    l.last = chunk;
    l.at = space + sizeof(event_chunk);
    l.room = size - sizeof(event_chunk);
}

void event_batch::add(const rollup_rules &rules, std::uint32_t place, const decoded_event &event)
{
    std::uint32_t const size = bytes_of(event);
    queue &l = queues_[place];
    if (l.room < size)
        append_chunk(rules, place);
    new (l.at) decoded_head(event);
    if (event.has_facts)
        new (l.at + sizeof(decoded_head)) decoded_facts(event.facts);
    l.at += size;
    l.room -= size;
}

// Goes through the waiting events, state by state.
class event_batch::reader
{
public:
    explicit reader(const event_batch &batch) noexcept : batch_(batch) {}

    bool next() noexcept
    {
        if (at_ != end_)
            at_ += bytes_of(*head());
        while (at_ == end_) {
            chunk_ = chunk_ == nullptr ? nullptr : chunk_->next;
            if (chunk_ == nullptr && !next_queue())
                return false;
            at_ = reinterpret_cast<const char *>(chunk_ + 1);
            end_ = chunk_->next == nullptr ? queue_->at : chunk_->end;
            prefetch_chunk(chunk_->next);
        }
        return true;
    }
    rollup_state &target() const noexcept { return *queue_->target; }
    const decoded_head *head() const noexcept { return reinterpret_cast<const decoded_head *>(at_); }
    const decoded_facts *facts() const noexcept
    {
        return head()->has_facts ? reinterpret_cast<const decoded_facts *>(head() + 1) : nullptr;
    }

private:
    bool next_queue() noexcept
    {
        while (place_ < batch_.queues_.size()) {
            queue_ = &batch_.queues_[place_++];
            if (queue_->first == nullptr)
                continue;
            chunk_ = queue_->first;
            return true;
        }
        return false;
    }
    static void prefetch_chunk(const event_chunk *chunk) noexcept
    {
        if (chunk != nullptr)
            for (std::uint32_t line = 0; line < chunk_bytes; line += 64)
                __builtin_prefetch(reinterpret_cast<const char *>(chunk) + line);
    }

    const event_batch &batch_;
    std::uint32_t place_ = 0; // of the next queue
    const queue *queue_ = nullptr;
    const event_chunk *chunk_ = nullptr;
    const char *at_ = nullptr, *end_ = nullptr;
};

// What an event will touch is asked for some events ahead, in three steps.
void event_batch::flush(const rollup_rules &rules)
{
    if (block_ == 0 && used_ == 0)
        return;
    constexpr int to_tables = 8, to_entries = 4, to_sets = 2;
    reader tables(*this), entries(*this), sets(*this), events(*this);
    for (int step = 0; step < to_tables || events.next(); ++step) {
        if (step >= to_tables)
            events.target().add(rules, *events.head(), events.facts());
        if (tables.next())
            tables.target().prefetch_tables(*tables.head(), tables.facts());
        if (step >= to_tables - to_entries && entries.next())
            entries.target().prefetch_entries(*entries.head());
        if (step >= to_tables - to_sets && sets.next())
            sets.target().prefetch_sets(*sets.head());
    }
    for (std::uint32_t i = 0; i < queues_.size(); ++i)
        queues_[i] = {queues_[i].target, nullptr, 0, nullptr, nullptr};
    block_ = 0;
    used_ = 0;
}

void event_batch::release() noexcept
{
    for (std::uint32_t i = 0; i < blocks_.size(); ++i)
        memory_->deallocate(blocks_[i], block_bytes, alignof(std::max_align_t));
    blocks_.clear();
    block_ = 0;
    used_ = 0;
}

} // namespace shadow
