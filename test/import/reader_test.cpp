// Files as they come: encodings, compression, odd CSV, half lines.

#include "reader.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>

using namespace importer;

namespace
{

class readers : public testing::Test
{
protected:
    ~readers() override { unlink(path_.c_str()); }

    // Each record as JSON, or its problem in <>.
    std::vector<std::string> read(const std::string &bytes, const format &f = {}, bool is_gzip = false)
    {
        write(bytes, is_gzip);
        source_file const file(path_);
        input in(file, f.encoding);
        auto const reader = open_reader(in, f);
        std::vector<std::string> out;
        for (record r; reader->next(r, false);) {
            EXPECT_EQ(r.number, out.size() + 1);
            std::string text = r.problem != nullptr ? "<" + std::string(r.problem) + ">" : "";
            if (r.problem == nullptr)
                append_json(text, r.tree.root);
            out.push_back(text);
        }
        return out;
    }
    std::string path_ = testing::TempDir() + "import_reader_" + std::to_string(getpid());

private:
    void write(const std::string &bytes, bool is_gzip) const
    {
        if (!is_gzip) {
            std::ofstream(path_, std::ios::binary) << bytes;
            return;
        }
        gzFile const z = gzopen(path_.c_str(), "wb");
        gzwrite(z, bytes.data(), static_cast<unsigned>(bytes.size()));
        gzclose(z);
    }
};
using texts = std::vector<std::string>;

std::string utf16(const std::string &ascii, bool is_little)
{
    std::string out;
    for (char const c : ascii)
        out += is_little ? std::string{c, '\0'} : std::string{'\0', c};
    return out;
}

const texts two{R"({"a": 1, "b": "x"})", R"({"a": 2, "b": "y"})"};

TEST_F(readers, json_lines)
{
    EXPECT_EQ(read("{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n"), two);
    EXPECT_EQ(read("\n  {\"a\":1,\"b\":\"x\"}\r\n\r\n{\"a\":2,\"b\":\"y\"}"), two);
    EXPECT_EQ(read("\xEF\xBB\xBF{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n"), two);
    EXPECT_EQ(read("{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n", {}, true), two);
    EXPECT_EQ(read(""), texts{});
    EXPECT_EQ(read("\n\n"), texts{});
}

TEST_F(readers, a_broken_line_spoils_no_other)
{
    EXPECT_EQ(read("{\"a\":1,\"b\":\"x\"}\n{\"a\":1\n[1]\n5\nnull\n{\"a\":\"\xFF\"}\n{\"a\":2,\"b\":\"y\"}\n{"
                   "\"a\":3,\"b"),
              (texts{two[0], "<not valid JSON>", "<not a JSON object>", "<not valid JSON>",
                     "<not valid JSON>", "<not valid UTF-8 (see --encoding)>", two[1], "<not valid JSON>"}));
}

TEST_F(readers, json_arrays_and_indented_json)
{
    EXPECT_EQ(read("[{\"a\":1,\"b\":\"x\"},{\"a\":2,\"b\":\"y\"}]"), two);
    EXPECT_EQ(read("[\n  {\n \"a\": 1,\n \"b\": \"x\"\n },\n {\"a\":2,\"b\":\"y\"}\n]\n"), two);
    EXPECT_EQ(read("{\n \"a\": 1,\n \"b\": \"x\"\n}\n{\n\"a\":2,\"b\":\"y\"}\n"), two);
    EXPECT_EQ(read("[{\"a\":\"}]\\\"{\"},{\"a\":{\"b\":[{}]}}]"),
              (texts{R"({"a": "}]\"{"})", R"({"a": {"b": [{}]}})"}));
    EXPECT_EQ(read("[{\"a\":1,\"b\":\"x\"},{\"a\":2,"), (texts{two[0], "<not valid JSON>"}));
    EXPECT_EQ(read("[]"), texts{});
}

TEST_F(readers, json_texts)
{
    EXPECT_EQ(read(R"({"a":"\u00e9\ud83d\ude00","b":"half \ud83d"})"),
              texts{"{\"a\": \"é😀\", \"b\": \"half \xEF\xBF\xBD\"}"});
    EXPECT_EQ(read(R"({"a":"x\u0000y","b":"\udc00"})"), texts{"{\"a\": \"xy\", \"b\": \"\xEF\xBF\xBD\"}"});
    EXPECT_EQ(read(R"({"a":"\\ud83d"})"), texts{R"({"a": "\\ud83d"})"});
    EXPECT_EQ(read(R"({"a":0.10,"b":12345678901234567890123,"c":1e99999})"),
              texts{R"({"a": 0.10, "b": 12345678901234567890123, "c": "1e99999"})"});
    EXPECT_EQ(read("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"),
              texts{"<not valid JSON>"});
}

TEST_F(readers, utf_16)
{
    std::string const lines = "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n";
    EXPECT_EQ(read("\xFF\xFE" + utf16(lines, true)), two);
    EXPECT_EQ(read("\xFE\xFF" + utf16(lines, false)), two);
    EXPECT_EQ(read(utf16(lines, true)), two);
    EXPECT_EQ(read(utf16(lines, false)), two);
    EXPECT_EQ(read("\xFF\xFE" + utf16("a,b\r\n1,x\r\n2,y\r\n", true)), two);
    // cut off in the middle of a character
    EXPECT_EQ(read("\xFF\xFE" + utf16(lines, true) + "{"), two);
    // half a pair of surrogates
    EXPECT_EQ(read("\xFF\xFE" + utf16("a,b\n1,", true) + "\x3D\xD8" + utf16("\n2,y\n", true)),
              (texts{"{\"a\": 1, \"b\": \"\xEF\xBF\xBD\"}", two[1]}));
}

TEST_F(readers, other_encodings)
{
    format latin;
    latin.encoding = "ISO-8859-1";
    EXPECT_EQ(read("a,b\n1,caf\xE9\n", latin), texts{R"({"a": 1, "b": "café"})"});
    EXPECT_EQ(read("a,b\n1,caf\xE9\n2,y\n"), (texts{"<not valid UTF-8 (see --encoding)>", two[1]}));
    format unknown;
    unknown.encoding = "klingon";
    EXPECT_THROW(read("a\n1\n", unknown), std::runtime_error);
}

TEST_F(readers, csv)
{
    EXPECT_EQ(read("a,b\n1,x\n2,y\n"), two);
    EXPECT_EQ(read("\xEF\xBB\xBF\"a\",\"b\"\r\n1,\"x\"\r\n\r\n2,y"), two);
    EXPECT_EQ(read("a;b\n1;x\n2;y\n"), two);
    EXPECT_EQ(read("a\tb\n1\tx\n2\ty\n"), two);
    EXPECT_EQ(read("a|b\n1|x\n2|y\n"), two);
    EXPECT_EQ(read("\"a,a\";b\n1;x\n"), texts{R"({"a,a": 1, "b": "x"})"});
    EXPECT_EQ(read("a,b\n,\"\"\n"), texts{R"({"a": null, "b": ""})"});
    EXPECT_EQ(read("a,b\n\"one\ntwo, \"\"three\"\"\",\"\r\n\"\n"),
              texts{R"({"a": "one\ntwo, \"three\"", "b": "\r\n"})"});
    EXPECT_EQ(read("a\n01\n-1.50\n1e5\ntrue\n1234567890123456789\n"),
              (texts{R"({"a": "01"})", R"({"a": -1.50})", R"({"a": "1e5"})", R"({"a": true})",
                     R"({"a": "1234567890123456789"})"}));
    EXPECT_EQ(read("a,b\n"), texts{});
}

TEST_F(readers, broken_csv)
{
    EXPECT_EQ(read("a,b\n1\n1,x\n1,2,3\n2,y\n3"), (texts{"<another number of fields than the header>", two[0],
                                                         "<another number of fields than the header>", two[1],
                                                         "<another number of fields than the header>"}));
    EXPECT_EQ(read("a,b\n1,x\n2,\"y"), (texts{two[0], "<the file ends within quotes>"}));
    EXPECT_THROW(read("a,b,a\n1,2,3\n"), std::runtime_error);
}

TEST_F(readers, csv_as_told)
{
    format f;
    f.header = {"a", "b"};
    f.delimiter = '~';
    EXPECT_EQ(read("1~x\n2~y\n", f), two);
    // braces begin no JSON here
    f.kind = format::csv;
    EXPECT_EQ(read("{~x\n", f), texts{R"({"a": "{", "b": "x"})"});
}

// A quote or a bracket that is missing must not swallow the rest of a file into memory.
TEST_F(readers, records_have_a_longest)
{
    std::string const long_text(longest_record + 1000, 'x');
    EXPECT_THROW(read("a,b\n1,\"" + long_text), std::runtime_error);
    EXPECT_THROW(read("[{\"a\":\"" + long_text), std::runtime_error);
    auto const after_long = read("{\"a\":\"" + long_text + "\"}\n{\"a\":1,\"b\":\"x\"}\n");
    EXPECT_TRUE(after_long == (texts{"<longer than 16 MB>", two[0]}));
    std::string const million(1'000'000, 'x');
    auto const with_million = read("a,b\n1," + million + "\n2,y\n");
    EXPECT_TRUE(with_million == (texts{"{\"a\": 1, \"b\": \"" + million + "\"}", two[1]}));
}

TEST_F(readers, a_cut_gzip_file_is_an_error)
{
    std::string lines;
    for (int i = 0; i < 20'000; ++i)
        lines += "{\"a\":" + std::to_string(i * 7919 % 104729) + ",\"b\":\"x\"}\n";
    EXPECT_EQ(read(lines, {}, true).size(), 20'000u);
    std::ifstream whole(path_, std::ios::binary);
    std::string const bytes((std::istreambuf_iterator<char>(whole)), {});
    EXPECT_THROW(read(bytes.substr(0, bytes.size() / 2)), std::runtime_error);
    EXPECT_EQ(read(bytes + bytes).size(), 40'000u); // as `cat a.gz b.gz`
}

TEST_F(readers, skipping_counts_the_same)
{
    for (std::string const &bytes :
         {std::string("a,b\n1,x\n2,y\n"), std::string("{\"a\":1}\n{\"a\":2,\"b\":\"y\"}\n"),
          std::string("[{\"a\":1},{\"a\":2,\"b\":\"y\"}]")}) {
        std::ofstream(path_, std::ios::binary) << bytes;
        source_file const file(path_);
        input in(file, "");
        auto const reader = open_reader(in, {});
        record r;
        ASSERT_TRUE(reader->next(r, true));
        ASSERT_TRUE(reader->next(r, false));
        std::string text;
        append_json(text, r.tree.root);
        EXPECT_EQ(text, two[1]);
        EXPECT_EQ(r.number, 2u);
        EXPECT_FALSE(reader->next(r, false));
    }
}

} // namespace
