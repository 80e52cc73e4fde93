#include "core/questions/session_split.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace shadow::questions
{

void session_splitter::sort_by_key()
{
    order_.resize(keys_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
        return std::tie(keys_[a].day, keys_[a].session) < std::tie(keys_[b].day, keys_[b].session);
    });
}

// The client's sessions, and those by inactivity of what has none.
void session_splitter::find_pieces(const event_span &events)
{
    pieces_.clear();
    for (std::size_t i = 0; i < order_.size(); ++i) {
        key const &k = keys_[order_[i]];
        bool const is_new = i == 0 || k.day != keys_[order_[i - 1]].day ||
                            k.session != keys_[order_[i - 1]].session ||
                            (k.session == 0 && events[order_[i]].at - events[order_[i - 1]].at >= gap_);
        if (is_new)
            pieces_.push_back({i, i, k, pieces_.size()});
        pieces_.back().end = i + 1;
    }
}

// Of one day; those without a session of the client's come first. False if none is part of another.
bool session_splitter::join_pieces(const event_span &events, std::size_t first, std::size_t last)
{
    auto const begin_of = [&](const piece &p) { return events[order_[p.begin]].at; };
    auto const end_of = [&](const piece &p) { return events[order_[p.end - 1]].at; };
    std::size_t named = first;
    while (named < last && pieces_[named].of.session == 0)
        ++named;
    if (named == first || named == last)
        return false;
    named_.clear();
    for (std::size_t i = named; i < last; ++i)
        named_.add(begin_of(pieces_[i]), end_of(pieces_[i]), order_[pieces_[i].begin], i);
    named_.sort();
    bool joined = false;
    for (std::size_t i = first; i < named; ++i) {
        std::size_t const whole =
            named_.find(begin_of(pieces_[i]), end_of(pieces_[i]), static_cast<std::uint64_t>(gap_));
        joined = joined || whole != named_sessions::none;
        pieces_[i].whole = whole != named_sessions::none ? whole : i;
    }
    return joined;
}

void session_splitter::split(const event_span &events, const event_stream &stream)
{
    keys_.clear();
    for (stream_event const &e : events)
        keys_.push_back({days_.day_of(e.at), stream.session(e)});
    sort_by_key();
    find_pieces(events);
    bool joined = false;
    for (std::size_t first = 0, last = 0; first < pieces_.size(); first = last) {
        while (last < pieces_.size() && pieces_[last].of.day == pieces_[first].of.day)
            ++last;
        joined = join_pieces(events, first, last) || joined;
    }
    wholes_.resize(order_.size());
    for (piece const &p : pieces_)
        for (std::size_t i = p.begin; i < p.end; ++i)
            wholes_[order_[i]] = p.whole;
    if (joined)
        std::sort(order_.begin(), order_.end(), [this](std::size_t a, std::size_t b) {
            return std::tie(wholes_[a], a) < std::tie(wholes_[b], b);
        });
    sorted_.clear();
    begins_.clear();
    for (std::size_t i = 0; i < order_.size(); ++i) {
        if (i == 0 || wholes_[order_[i]] != wholes_[order_[i - 1]])
            begins_.push_back(i);
        sorted_.push_back(events[order_[i]]);
    }
}

} // namespace shadow::questions
