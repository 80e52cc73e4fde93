#include "batch.hpp"

#include <algorithm>
#include <numeric>

namespace importer
{

static constexpr std::size_t most_batches = 2;

void counts::add(const counts &more)
{
    read += more.read;
    loaded += more.loaded;
    present += more.present;
    shortened += more.shortened;
    for (auto const &[reason, count] : more.refused)
        refused[reason] += count;
    for (auto const &[reason, count] : more.left_out)
        left_out[reason] += count;
    days.insert(more.days.begin(), more.days.end());
    workspaces.insert(more.workspaces.begin(), more.workspaces.end());
}

std::uint64_t counts::sum(const std::map<std::string, std::uint64_t> &of) noexcept
{
    std::uint64_t total = 0;
    for (auto const &[reason, count] : of)
        total += count;
    return total;
}

void batch::sort_by_time()
{
    if (std::is_sorted(times.begin(), times.end()))
        return;
    std::vector<std::size_t> order(times.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](std::size_t a, std::size_t b) { return times[a] < times[b]; });
    batch sorted;
    sorted.rows.reserve(rows.size());
    for (std::size_t const i : order) {
        std::size_t const begin = i == 0 ? 0 : ends[i - 1];
        sorted.rows.append(rows, begin, ends[i] - begin);
        sorted.ends.push_back(sorted.rows.size());
        sorted.records.push_back(records[i]);
        sorted.times.push_back(times[i]);
    }
    rows.swap(sorted.rows);
    ends.swap(sorted.ends);
    records.swap(sorted.records);
    times.swap(sorted.times);
}

bool batch_queue::put(batch b)
{
    b.sort_by_time();
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return batches_.size() < most_batches || is_given_up_; });
    batches_.push_back(std::move(b));
    changed_.notify_all();
    return !is_given_up_;
}

bool batch_queue::take(batch &b)
{
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return !batches_.empty() || is_ended_; });
    if (batches_.empty()) {
        if (failure_)
            std::rethrow_exception(failure_);
        return false;
    }
    b = std::move(batches_.front());
    batches_.pop_front();
    changed_.notify_all();
    return true;
}

void batch_queue::end(std::exception_ptr failure)
{
    std::lock_guard<std::mutex> const lock(mutex_);
    failure_ = failure;
    is_ended_ = true;
    changed_.notify_all();
}

void batch_queue::give_up()
{
    std::lock_guard<std::mutex> const lock(mutex_);
    is_given_up_ = true;
    changed_.notify_all();
}

} // namespace importer
