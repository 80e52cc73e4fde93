#include "core/rollup/batch.hpp"

#include <sys/mman.h>

namespace shadow
{

constexpr std::uint32_t block_bytes = 1u << 18;
// Most workspaces have few events, so the first chunk is small.
constexpr std::uint32_t first_chunk_bytes = 288, chunk_bytes = 1024;
// Of a queue: a large workspace has enough events of its own to be added at once.
constexpr std::uint32_t most_bytes_of_queue = 1u << 19;

namespace
{

// decoded_facts as most events have them, where they wait: half as long.
struct brief_facts {
    uuid id, agent_id;
    hash128 run;
    std::int64_t credits, cost, runtime;
    std::int32_t tokens;
    std::uint32_t error_type, reason, message, model;
    currency_code currency;
    std::uint8_t attempt;
    std::uint8_t status : 3;
    bool has_run : 1, has_credits : 1, has_cost : 1, states_cost : 1, has_agent : 1;
};
static_assert(sizeof(brief_facts) == 96);

bool fits(int128 value) noexcept
{
    return value == static_cast<std::int64_t>(value);
}

bool is_brief(const decoded_facts &f) noexcept
{
    token_usage const &u = f.usage;
    return !f.is_feedback && f.rating == -1 && f.revenue == 0 && f.ignored == 0 &&
           (u.input | u.output | u.cache_read | u.cache_write) == 0 &&
           f.tokens == static_cast<std::int32_t>(f.tokens) &&
           f.attempt == static_cast<std::uint8_t>(f.attempt) && fits(f.credits) && fits(f.cost);
}

brief_facts shortened(const decoded_facts &f) noexcept
{
    brief_facts brief{};
    brief.id = f.id;
    brief.agent_id = f.has_agent ? f.agent_id : uuid{0, 0};
    brief.run = f.has_run ? f.run : hash128{};
    brief.credits = static_cast<std::int64_t>(f.credits);
    brief.cost = static_cast<std::int64_t>(f.cost);
    brief.runtime = f.runtime;
    brief.tokens = static_cast<std::int32_t>(f.tokens);
    brief.error_type = f.error_type;
    brief.reason = f.reason;
    brief.message = f.message;
    brief.model = f.model;
    brief.currency = f.currency;
    brief.attempt = static_cast<std::uint8_t>(f.attempt);
    brief.status = static_cast<std::uint8_t>(f.status) & 7;
    brief.has_run = f.has_run;
    brief.has_credits = f.has_credits;
    brief.has_cost = f.has_cost;
    brief.states_cost = f.states_cost;
    brief.has_agent = f.has_agent;
    return brief;
}

decoded_facts lengthened(const brief_facts &f) noexcept
{
    decoded_facts facts{};
    facts.id = f.id;
    facts.agent_id = f.agent_id;
    facts.run = f.run;
    facts.credits = f.credits;
    facts.cost = f.cost;
    facts.runtime = f.runtime;
    facts.tokens = f.tokens;
    facts.rating = -1;
    facts.attempt = f.attempt;
    facts.agent = npos;
    facts.error_type = f.error_type;
    facts.reason = f.reason;
    facts.message = f.message;
    facts.model = f.model;
    facts.currency = f.currency;
    facts.status = static_cast<run_status>(f.status);
    facts.has_run = f.has_run;
    facts.has_credits = f.has_credits;
    facts.has_cost = f.has_cost;
    facts.states_cost = f.states_cost;
    facts.has_agent = f.has_agent;
    return facts;
}

} // namespace

static std::uint32_t bytes_of(const decoded_head &event) noexcept
{
    return sizeof(decoded_head) + (!event.has_facts        ? 0
                                   : event.has_brief_facts ? sizeof(brief_facts)
                                                           : sizeof(decoded_facts));
}
static_assert(sizeof(decoded_head) % alignof(decoded_facts) == 0);
static_assert(sizeof(brief_facts) % alignof(decoded_facts) == 0);
static_assert(sizeof(event_chunk) % alignof(decoded_head) == 0);
static_assert(sizeof(event_chunk) + sizeof(decoded_event) <= first_chunk_bytes);

// Another block comes with its pages: all at once cost less than one by one, each when an event is first written there.
char *event_batch::new_block()
{
    auto *const block = static_cast<char *>(memory_->allocate(block_bytes, alignof(std::max_align_t)));
#ifdef MADV_POPULATE_WRITE // what goes wrong shows when the page is written
    constexpr std::uintptr_t page = 4096;
    auto const begin = reinterpret_cast<std::uintptr_t>(block);
    std::uintptr_t const first = (begin + page - 1) / page * page, last = (begin + block_bytes) / page * page;
    if (blocks_.size() != 0)
        madvise(reinterpret_cast<void *>(first), last - first, MADV_POPULATE_WRITE);
#endif
    return block;
}

char *event_batch::take_from_block(std::uint32_t bytes)
{
    if (blocks_.size() == 0 || used_ + bytes > block_bytes) {
        if (blocks_.size() != 0)
            ++block_;
        if (block_ == blocks_.size())
            blocks_.push(new_block());
        used_ = 0;
    }
    char *const taken = blocks_[block_] + used_;
    used_ += bytes;
    return taken;
}

char *event_batch::take(std::uint32_t bytes)
{
    waiting_ += bytes;
    if (bytes != chunk_bytes || free_ == nullptr)
        return take_from_block(bytes);
    event_chunk *const chunk = free_;
    free_ = chunk->next;
    return reinterpret_cast<char *>(chunk);
}

std::uint32_t event_batch::open(rollup_state *target)
{
    return queues_.push({target, nullptr, 0, 0, nullptr, nullptr});
}

void event_batch::append_chunk(std::uint32_t place)
{
    if (queues_[place].bytes >= most_bytes_of_queue)
        flush(place);
    if (waiting_ >= most_waiting_)
        flush_all();
    queue &q = queues_[place];
    std::uint32_t const size = q.last == nullptr ? first_chunk_bytes : chunk_bytes;
    char *const space = take(size);
    auto *const chunk = new (space) event_chunk{nullptr, nullptr};
    if (q.last != nullptr) {
        q.last->end = q.at;
        q.last->next = chunk;
    } else {
        q.first = chunk;
    }
    q.last = chunk;
    q.at = space + sizeof(event_chunk);
    q.room = size - sizeof(event_chunk);
    q.bytes += size;
}

void event_batch::add(std::uint32_t place, const decoded_event &event)
{
    decoded_head head = event;
    head.has_brief_facts = event.has_facts && is_brief(event.facts);
    std::uint32_t const size = bytes_of(head);
    queue &q = queues_[place];
    if (q.room < size)
        append_chunk(place);
    new (q.at) decoded_head(head);
    if (head.has_brief_facts)
        new (q.at + sizeof(decoded_head)) brief_facts(shortened(event.facts));
    else if (event.has_facts)
        new (q.at + sizeof(decoded_head)) decoded_facts(event.facts);
    q.at += size;
    q.room -= size;
}

// Goes through the waiting events of a queue.
class event_batch::reader
{
public:
    explicit reader(const queue &q) noexcept : queue_(q) {}

    bool next() noexcept
    {
        if (at_ != end_)
            at_ += bytes_of(*head());
        if (at_ != end_)
            return true;
        if (at_ == queue_.at) // also of an empty queue
            return false;
        chunk_ = chunk_ == nullptr ? queue_.first : chunk_->next;
        at_ = reinterpret_cast<const char *>(chunk_ + 1);
        end_ = chunk_->next == nullptr ? queue_.at : chunk_->end;
        prefetch_chunk(chunk_->next);
        return true;
    }
    const decoded_head *head() const noexcept { return reinterpret_cast<const decoded_head *>(at_); }
    // Valid until next().
    const decoded_facts *facts() noexcept
    {
        if (!head()->has_facts)
            return nullptr;
        if (!head()->has_brief_facts)
            return reinterpret_cast<const decoded_facts *>(head() + 1);
        lengthened_ = lengthened(*reinterpret_cast<const brief_facts *>(head() + 1));
        return &lengthened_;
    }
    // nullptr: none
    const hash128 *run() const noexcept
    {
        auto const run_of = [](const auto &facts) { return facts.has_run ? &facts.run : nullptr; };
        if (!head()->has_facts)
            return nullptr;
        return head()->has_brief_facts ? run_of(*reinterpret_cast<const brief_facts *>(head() + 1))
                                       : run_of(*reinterpret_cast<const decoded_facts *>(head() + 1));
    }

private:
    static void prefetch_chunk(const event_chunk *chunk) noexcept
    {
        if (chunk != nullptr)
            for (std::uint32_t line = 0; line < chunk_bytes; line += 64)
                __builtin_prefetch(reinterpret_cast<const char *>(chunk) + line);
    }

    const queue &queue_;
    const event_chunk *chunk_ = nullptr;
    const char *at_ = nullptr, *end_ = nullptr;
    decoded_facts lengthened_;
};

// What an event will touch is asked for some events ahead, in three steps.
void event_batch::add_waiting(const queue &q)
{
    constexpr int to_tables = 8, to_entries = 4, to_sets = 2;
    rollup_state &target = *q.target;
    reader tables(q), entries(q), sets(q), events(q);
    for (int step = 0; step < to_tables || events.next(); ++step) {
        if (step >= to_tables)
            target.add(rules_, *events.head(), events.facts());
        if (tables.next())
            target.prefetch_tables(*tables.head(), tables.run());
        if (step >= to_tables - to_entries && entries.next())
            target.prefetch_entries(*entries.head());
        if (step >= to_tables - to_sets && sets.next())
            target.prefetch_sets(*sets.head());
    }
}

void event_batch::flush(std::uint32_t place)
{
    queue &q = queues_[place];
    if (q.first == nullptr)
        return;
    q.target->expect(q.bytes / (2 * sizeof(decoded_head)));
    add_waiting(q);
    poll_.now();
    if (q.first != q.last) { // the first chunk is small
        q.last->next = free_;
        free_ = q.first->next;
    }
    waiting_ -= q.bytes;
    q = {q.target, nullptr, 0, 0, nullptr, nullptr};
}

// All room is free then.
void event_batch::flush_all()
{
    for (std::uint32_t i = 0; i < queues_.size(); ++i)
        flush(i);
    free_ = nullptr;
    block_ = 0;
    used_ = 0;
}

void event_batch::release() noexcept
{
    for (std::uint32_t i = 0; i < blocks_.size(); ++i)
        memory_->deallocate(blocks_[i], block_bytes, alignof(std::max_align_t));
    blocks_.release();
    free_ = nullptr;
    block_ = 0;
    used_ = 0;
}

} // namespace shadow
