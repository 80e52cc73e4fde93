#pragma once
// From the metrics of a workspace to its rows: numbers its users first.

#include "entry/rollup/agent_names.hpp"
#include "entry/rollup/users.hpp"
#include "pg/memory.hpp"

namespace shadow::entry
{

// Plain data; lives for a scan, under one active snapshot.
class workspace_writer
{
public:
    void open(const bucket &b, row_types &types, row_receiver &to)
    {
        bucket_ = &b;
        types_ = &types;
        to_ = &to;
        if (b.is_day) {
            users_.open();
            names_.open();
        }
    }
    void close()
    {
        if (bucket_->is_day) {
            users_.close();
            names_.close();
        }
    }
    bool is_day() const { return bucket_->is_day; }

    // In the current memory context, which the caller resets.
    void write(const uuid &workspace, bool is_final, rollup_metrics &metrics)
    {
        user_records users = {{nullptr, 0}, 0};
        if (bucket_->is_day) {
            users = users_.read(workspace, DatumGetDateADT(bucket_->key), metrics.user_list);
            if (names_.read(workspace, metrics.leaders))
                describe_again(metrics);
        }
        form_rows(*types_, *bucket_, workspace, is_final, metrics, users, *to_);
    }

    void write_count(const uuid &workspace, std::int64_t events)
    {
        form_count(*types_, workspace, events, *to_);
    }

private:
    static void describe_again(rollup_metrics &metrics)
    {
        pg::palloc_resource memory(CurrentMemoryContext);
        metrics.top_agents = describe_leaders(metrics.leaders, &memory);
    }

    const bucket *bucket_;
    row_types *types_;
    row_receiver *to_;
    user_reader users_;
    agent_names names_;
};

} // namespace shadow::entry
