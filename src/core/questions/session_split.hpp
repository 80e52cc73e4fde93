#pragma once
// A user's events as the sessions that daily_metrics counts: by the client's session within a local day, the
// others by inactivity; no session goes over midnight.

#include "core/questions/calendar.hpp"
#include "core/questions/event_stream.hpp"

namespace shadow::questions
{

class session_splitter
{
public:
    session_splitter(const calendar &days, std::int64_t gap) : days_(days), gap_(gap) {}

    // visit(const event_span &): each session, its events in order. The stream keeps sessions.
    template <typename Visit>
    void for_each(const event_span &events, const event_stream &stream, Visit visit)
    {
        split(events, stream);
        for (std::size_t i = 0; i < begins_.size(); ++i) {
            std::size_t const end = i + 1 < begins_.size() ? begins_[i + 1] : sorted_.size();
            visit(event_span{sorted_.data() + begins_[i], end - begins_[i]});
        }
    }

private:
    struct key {
        date day;
        value_number session; // 0: by inactivity
    };
    void split(const event_span &events, const event_stream &stream);

    const calendar &days_;
    std::int64_t gap_;
    std::vector<key> keys_;
    std::vector<std::size_t> order_;
    std::vector<stream_event> sorted_;
    std::vector<std::size_t> begins_;
};

} // namespace shadow::questions
