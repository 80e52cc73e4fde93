// Records to rows: ids, types, what goes into the metadata and what is refused.

#include "batch.hpp"
#include "core/event/names.hpp"
#include "event.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

using namespace importer;

namespace
{

const shadow::uuid workspace = *shadow::parse_uuid("11111111-1111-1111-1111-111111111111");

std::string text_of(const shadow::uuid &id)
{
    char buffer[37];
    return std::string(shadow::format_uuid(id, buffer));
}

class mapped : public testing::Test
{
protected:
    // The row as JSON, or why there is none, in <>.
    std::string map(const mapping &m, const std::string &json, const std::string &default_user = "")
    {
        mapper_options o;
        o.workspace = workspace;
        o.default_user = default_user;
        mapper mapper(m, o);
        r.tree.clear();
        r.raw = json;
        json_parser parser;
        EXPECT_TRUE(parser.parse_copy(json, r.tree, r.tree.root)) << parser.problem();
        fate const f = mapper.map(r, e);
        return f == fate::mapped ? describe(e) : "<" + std::string(mapper.reason()) + ">";
    }
    std::string map(const std::string &tool, const std::string &json) { return map(mapping_of(tool), json); }

    record r;
    event e;
};

// The expected ids are Python's uuid.uuid5(workspace, 'user:...').
TEST(ids, are_version_5_in_the_namespace_of_the_workspace)
{
    EXPECT_EQ(text_of(shadow::id_of(workspace, "user", "alice@example.org")),
              "f71dcbce-1738-5a70-be9b-117a06989fbc");
    EXPECT_EQ(text_of(shadow::id_of(workspace, "user", "Zoë")), "ab1512b9-3c7b-582d-a0a6-0d42e9bd8fa5");
    EXPECT_EQ(text_of(shadow::id_of(workspace, "session", "1")), "d776f611-92b2-58d6-8896-fcb838710e09");
    EXPECT_EQ(text_of(shadow::id_of(workspace, "event", "x")), "8c22520f-a51a-5fea-915b-0d10dc01cc10");
}

TEST(ids, of_uuids_are_these)
{
    for (const char *const text : {"0B0C0D0E-0000-4000-8000-000000000001", "0b0c0d0e000040008000000000000001",
                                   "{0b0c0d0e-0000-4000-8000-000000000001}"})
        EXPECT_EQ(text_of(shadow::id_of(workspace, "user", text)), "0b0c0d0e-0000-4000-8000-000000000001");
}

TEST_F(mapped, our_own_columns)
{
    EXPECT_EQ(
        map("jsonl", R"({"id":"0b0c0d0e-0000-4000-8000-000000000001","created_at":"2024-01-15T10:30:00Z",
        "user_id":"alice@example.org","event_type":"page_view","page_path":"https://x.org/a?b=c#d","ip_address":"::1",
        "metadata":{"plan":"pro","n":null},"seats":5})"),
        R"({"created_at": "2024-01-15T10:30:00.000000Z", "id": "0b0c0d0e-0000-4000-8000-000000000001", )"
        R"("workspace_id": "11111111-1111-1111-1111-111111111111", "user_id": "f71dcbce-1738-5a70-be9b-117a06989fbc", )"
        R"("event_type": "page_view", "page_path": "/a?b=c", "ip_address": "::1", "metadata": {"plan": "pro", "seats": 5}})");
}

TEST_F(mapped, types_come_from_names)
{
    mapping m = mapping_of("jsonl");
    set_event_type(m, "Upgraded", "feature_use");
    auto const type_of = [&](const std::string &name) {
        map(m, R"({"created_at":1705314600,"user_id":1,"event":")" + name + "\"}");
        return std::string(e.type) + "/" + std::string(e.name);
    };
    EXPECT_EQ(type_of("Page View"), "page_view/");
    EXPECT_EQ(type_of("login"), "login/");
    EXPECT_EQ(type_of("Upgraded"), "feature_use/Upgraded");
    EXPECT_EQ(type_of("Signed Up"), "custom/Signed Up");
    set_event_type(m, "*", "click");
    EXPECT_EQ(type_of("Signed Up"), "click/Signed Up");
    EXPECT_THROW(set_event_type(m, "x", "nonsense"), std::runtime_error);
}

TEST_F(mapped, what_is_refused)
{
    EXPECT_EQ(map("jsonl", R"({"user_id":1,"event":"x"})"), "<no time>");
    EXPECT_EQ(map("jsonl", R"({"user_id":1,"event":"x","created_at":null})"), "<no time>");
    EXPECT_EQ(map("jsonl", R"({"created_at":1705314600,"event":"x"})"), "<no user (see --default-user)>");
    EXPECT_EQ(map("jsonl", R"({"created_at":1705314600,"user_id":"","event":"x"})"),
              "<no user (see --default-user)>");
    EXPECT_EQ(map("jsonl", R"({"created_at":1705314600,"user_id":1})"), "<no event name>");
    EXPECT_EQ(map("jsonl", R"({"created_at":1705314600,"user_id":1,"event_type":"x"})"),
              "<an unknown event type (see --event-type)>");
    EXPECT_EQ(map("jsonl", R"({"created_at":0,"user_id":1,"event":"x"})"),
              "<a time before 2000 or in the future>");
    EXPECT_EQ(map("jsonl", R"({"created_at":"2124-01-15T10:30:00Z","user_id":1,"event":"x"})"),
              "<a time before 2000 or in the future>");
    EXPECT_EQ(map("jsonl", R"({"created_at":1705314600,"user_id":1,"event":"x","workspace_id":"w"})"),
              "<a workspace_id that is no uuid>");
    EXPECT_NE(map(mapping_of("jsonl"), R"({"created_at":1705314600,"event":"x"})", "nobody").front(), '<');
    EXPECT_EQ(text_of(e.user), text_of(shadow::id_of(workspace, "user", "nobody")));
}

TEST_F(mapped, days_that_were_removed_are_refused)
{
    mapping const m = mapping_of("jsonl");
    mapper_options o;
    o.workspace = workspace;
    mapper mapper(m, o);
    mapper.refuse_day(workspace, 8780); // 2024-01-15
    json_parser parser;
    auto const map_at = [&](const std::string &time) {
        r.tree.clear();
        parser.parse_copy(R"({"user_id":1,"event":"x","time":")" + time + "\"}", r.tree, r.tree.root);
        return mapper.map(r, e);
    };
    EXPECT_EQ(map_at("2024-01-14T23:59:59.999999Z"), fate::mapped);
    EXPECT_EQ(map_at("2024-01-15T00:00:00Z"), fate::refused);
    EXPECT_EQ(map_at("2024-01-15T23:59:59.999999Z"), fate::refused);
    EXPECT_EQ(map_at("2024-01-16T00:00:00Z"), fate::mapped);
}

// Long properties go, the longest first; what is left is less than the table's limit.
TEST_F(mapped, metadata_have_a_longest)
{
    std::string const huge(1'000'000, 'x');
    map("jsonl",
        R"({"created_at":1705314600,"user_id":1,"event":"x","huge":")" + huge + R"(","plan":"pro"})");
    EXPECT_EQ(e.metadata, R"({"plan": "pro", "import_dropped": ["huge"]})");
    EXPECT_EQ(e.dropped_properties, 1);
    std::string many = R"({"created_at":1705314600,"user_id":1,"event":"x")";
    for (int i = 0; i < 2000; ++i)
        many += ",\"property_" + std::to_string(i) + "\":\"some text\"";
    map("jsonl", many + "}");
    EXPECT_LT(e.metadata.size(), 10'240u);
    EXPECT_GT(e.metadata.size(), 9'500u);
    EXPECT_GT(e.dropped_properties, 1000);
}

// NUL is what PostgreSQL cannot store; a text is cut between characters.
TEST_F(mapped, texts_can_be_stored)
{
    std::string const accents = "\"" + [] {
        std::string s = "x";
        for (int i = 0; i < 2000; ++i)
            s += "é";
        return s;
    }() + "\"";
    map("jsonl", R"({"created_at":1705314600,"user_id":1,"event":"a\u0000b","referrer":)" + accents + "}");
    EXPECT_EQ(e.name, "ab");
    EXPECT_EQ(e.referrer.size(), 1999u); // one byte and 999 characters
    EXPECT_EQ(e.metadata, "{}");
    map("jsonl", R"({"created_at":1705314600,"user_id":1,"event":"x","ip":"not an address"})");
    EXPECT_EQ(e.address, "");
}

TEST_F(mapped, equal_records_without_id_are_one_event)
{
    map("jsonl", R"({"created_at":1705314600,"user_id":1,"event":"x"})");
    auto const first = text_of(e.id);
    map("jsonl", R"({"created_at":1705314600, "user_id":1, "event":"x"})");
    EXPECT_EQ(text_of(e.id), first);
    map("jsonl", R"({"created_at":1705314600,"user_id":1,"event":"x","n":1})");
    EXPECT_NE(text_of(e.id), first);
}

TEST_F(mapped, paths_lead_through_dots_arrays_and_json_in_texts)
{
    mapping m = mapping_of("jsonl");
    m.created_at = {"nothing", "a.b.c"};
    m.user_id = {"list.1.id"};
    m.event_name = {"text.name"};
    m.metadata = {{"kept", {"deep.er"}}};
    m.roots = {};
    EXPECT_NE(map(m, R"({"a.b":{"c":1705314600},"list":[{"id":7},{"id":"alice@example.org"}],)"
                     R"("text":"{\"name\":\"x\"}","deep":{"er":[1,{"x":2}]},"rest":1})")
                  .front(),
              '<');
    EXPECT_EQ(text_of(e.user), "f71dcbce-1738-5a70-be9b-117a06989fbc");
    EXPECT_EQ(e.name, "x");
    EXPECT_EQ(e.metadata, R"({"kept": [1, {"x": 2}]})");
}

// Enriched observations of old integrations have their latency in milliseconds.
TEST_F(mapped, runtimes_of_langfuse_are_between_the_times)
{
    auto const runtime_of = [&](const std::string &rest) {
        map("langfuse", R"({"id":"o","type":"GENERATION","trace_id":"t","user_id":"u",)" + rest + "}");
        auto const at = e.metadata.find("\"runtime_seconds\": ");
        return at == std::string::npos
                   ? ""
                   : e.metadata.substr(at + 19, e.metadata.find_first_of(",}", at) - at - 19);
    };
    EXPECT_EQ(
        runtime_of(
            R"("start_time":"2025-03-10 08:00:01.000000","end_time":"2025-03-10 08:00:03.250000","latency":2250)"),
        "2.250000");
    EXPECT_EQ(
        runtime_of(R"("startTime":"2025-03-10T08:00:01Z","endTime":"2025-03-10T08:00:01Z","latency":9)"),
        "0.000000");
    EXPECT_EQ(runtime_of(R"("start_time":"2025-03-10 08:00:01","end_time":null,"latency":null)"), "");
    EXPECT_EQ(runtime_of(R"("start_time":"2025-03-10 08:00:01","end_time":"2025-03-10 08:00:00")"), "");
    map("langfuse", R"({"id":"t","timestamp":"2025-03-10T08:00:01Z","name":"n","userId":"u","latency":1.5})");
    EXPECT_NE(e.metadata.find("\"runtime_seconds\": 1.5"), std::string::npos);
}

TEST_F(mapped, cached_tokens_of_posthog_are_added_where_they_are_beside_the_input)
{
    auto const are_added = [&](const std::string &properties) {
        map("posthog",
            R"({"uuid":"u","event":"$ai_generation","distinct_id":"d","timestamp":"2025-03-10T08:00:00Z",)"
            R"("properties":{"$ai_input_tokens":1,"$ai_cache_read_input_tokens":9,)" +
                properties + "}}");
        return e.metadata.find("cache_read_input_tokens") != std::string::npos;
    };
    EXPECT_TRUE(are_added(R"("$ai_provider":"anthropic","$ai_model":"x")"));
    EXPECT_TRUE(are_added(R"("$ai_provider":"Anthropic","$ai_model":"x")"));
    EXPECT_TRUE(are_added(R"("$ai_provider":"vertex","$ai_model":"claude-haiku-4-5")"));
    EXPECT_TRUE(are_added(R"("$ai_provider":"bedrock","$ai_model":"eu.anthropic.claude-haiku-4-5")"));
    EXPECT_TRUE(
        are_added(R"("$ai_provider":"openai","$ai_model":"gpt-5","$ai_cache_reporting_exclusive":"true")"));
    EXPECT_FALSE(are_added(R"("$ai_provider":"openai","$ai_model":"gpt-5")"));
    EXPECT_FALSE(are_added(
        R"("$ai_provider":"anthropic","$ai_model":"claude","$ai_cache_reporting_exclusive":false)"));
}

TEST_F(mapped, rows_of_umami)
{
    auto const row = [&](const std::string &type, const std::string &rest = "") {
        auto const mapped =
            map("umami", R"({"event_id":"i","session_id":"s","visit_id":"v","url_path":"/a","created_at":)"
                         R"("2025-03-10 08:00:00","event_type":")" +
                             type + "\"" + rest + "}");
        return mapped.front() == '<' ? mapped : std::string(e.type) + "/" + std::string(e.name);
    };
    EXPECT_EQ(row("1"), "page_view/");
    EXPECT_EQ(row("2", R"(,"event_name":"signup")"), "custom/signup");
    EXPECT_EQ(row("3"), "click/");
    EXPECT_EQ(row("4"), "custom/");
    EXPECT_EQ(row("5", R"(,"lcp":1830.5)"), "<a measurement of how fast a page was>");
    row("1", R"(,"region":"DE-BE","distinct_id":"ann@example.org")");
    EXPECT_EQ(e.metadata, R"({"region": "DE-BE"})");
    EXPECT_EQ(text_of(e.user), text_of(shadow::id_of(workspace, "user", "ann@example.org")));
    row("1", R"(,"subdivision1":"DE-BE")");
    EXPECT_EQ(e.metadata, R"({"region": "DE-BE"})");
}

// Rows and the numbers of their records go together.
TEST(batches, are_sorted_by_time)
{
    batch b;
    std::uint64_t record = 0;
    for (auto const &[text, at] : {std::pair{"cc", 3}, {"a", 1}, {"bbb", 2}, {"aa", 1}}) {
        b.rows += text;
        b.ends.push_back(b.rows.size());
        b.records.push_back(++record);
        b.times.push_back(at);
    }
    b.sort_by_time();
    EXPECT_EQ(b.rows, "aaabbbcc");
    EXPECT_EQ(b.ends, (std::vector<std::size_t>{1, 3, 6, 8}));
    EXPECT_EQ(b.records, (std::vector<std::uint64_t>{2, 4, 3, 1}));
    EXPECT_EQ(b.times, (std::vector<std::int64_t>{1, 1, 2, 3}));
}

class mapping_files : public mapped
{
protected:
    ~mapping_files() override { std::remove(path_.c_str()); }
    void read(const std::string &text, mapping &m)
    {
        std::ofstream(path_) << text;
        read_mapping_file(path_, m);
    }
    std::string path_ = testing::TempDir() + "import_mapping_" + std::to_string(getpid());
};

TEST_F(mapping_files, change_the_table)
{
    mapping m = mapping_of("jsonl");
    read(
        R"({"columns":{"user_id":["visitor.id","anon"],"created_at":"when"},"event_types":{"Bought":"feature_use"},
        "metadata":{"plan":"account.plan"},"drop":["secret*"],"roots":["props"],"time_zone":"UTC"})",
        m);
    map(m, R"({"when":"2024-01-15","anon":"a","visitor":{"id":"alice@example.org"},"event":"Bought",
        "account":{"plan":"pro"},"props":{"a":1,"secret_b":2}})");
    EXPECT_EQ(text_of(e.user), "f71dcbce-1738-5a70-be9b-117a06989fbc");
    EXPECT_EQ(e.type, "feature_use");
    EXPECT_EQ(e.metadata, R"({"plan": "pro", "a": 1})");
    EXPECT_EQ(format_time(e.created_at), "2024-01-15T00:00:00.000000Z");
}

TEST_F(mapping_files, say_what_is_wrong)
{
    mapping m = mapping_of("csv");
    for (const char *const text :
         {"", "[]", "{\"colums\":{}}", R"({"columns":{"user":"x"}})", R"({"columns":{"user_id":5}})",
          R"({"event_types":{"x":"nonsense"}})", R"({"delimiter":"ab"})", R"({"drop":"x"})"})
        EXPECT_THROW(read(text, m), std::runtime_error) << text;
    EXPECT_THROW(read_mapping_file("/does/not/exist", m), std::runtime_error);
}

} // namespace
