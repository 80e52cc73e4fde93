#include "core/questions/session_split.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace shadow::questions
{

void session_splitter::split(const event_span &events, const event_stream &stream)
{
    keys_.clear();
    for (stream_event const &e : events)
        keys_.push_back({days_.day_of(e.at), stream.session(e)});
    order_.resize(events.size);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
        return std::tie(keys_[a].day, keys_[a].session) < std::tie(keys_[b].day, keys_[b].session);
    });
    sorted_.clear();
    begins_.clear();
    for (std::size_t i = 0; i < order_.size(); ++i) {
        stream_event const &e = events[order_[i]];
        key const &k = keys_[order_[i]];
        bool const is_new = i == 0 || k.day != keys_[order_[i - 1]].day ||
                            k.session != keys_[order_[i - 1]].session ||
                            (k.session == 0 && e.at - sorted_.back().at >= gap_);
        if (is_new)
            begins_.push_back(sorted_.size());
        sorted_.push_back(e);
    }
}

} // namespace shadow::questions
