#pragma once
// A user's events as the sessions that daily_metrics counts: by the client's session within a local day, the
// others by inactivity, as parts of the client's where they touch; no session goes over midnight.

#include "core/event/named_sessions.hpp"
#include "core/questions/calendar.hpp"
#include "core/questions/event_stream.hpp"

namespace shadow::questions
{

class session_splitter
{
public:
    session_splitter(const calendar &days, std::int64_t gap)
        : days_(days), gap_(gap), named_(std::pmr::get_default_resource())
    {
    }

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
    struct piece {
        std::size_t begin, end; // in the order
        key of;
        std::size_t whole; // the piece that it is part of, or its own number
    };
    void split(const event_span &events, const event_stream &stream);
    void sort_by_key();
    void find_pieces(const event_span &events);
    bool join_pieces(const event_span &events, std::size_t first, std::size_t last);

    const calendar &days_;
    std::int64_t gap_;
    named_sessions named_;
    std::vector<key> keys_;
    std::vector<piece> pieces_;
    std::vector<std::size_t> wholes_; // of each event
    std::vector<std::size_t> order_;
    std::vector<stream_event> sorted_;
    std::vector<std::size_t> begins_;
};

} // namespace shadow::questions
