/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XML of any sender. libxml2 without network, entities, DTD and XML_PARSE_HUGE is safe for memory,
 * but some of its work is quadratic (attributes of one element, namespaces in scope), so what is
 * built to be expensive is refused before or while it parses. The caller owns what is returned.
 */

#include "xml.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <string.h>

#include "util/error.h"

#define ELEMENTS_MAX   100000
#define ATTRIBUTES_MAX 64

typedef struct Guard {
        unsigned n_elements;
        const char *refused; /* why, static */
} Guard;

static void refuse(xmlParserCtxt *context, const char *why)
{
        Guard *guard = context->_private;

        guard->refused = why;
        xmlStopParser(context);
}

static void on_dtd(void *userdata, const xmlChar *name, const xmlChar *external_id,
                   const xmlChar *system_id)
{
        refuse(userdata, "it has a document type declaration");
}

static void on_element(void *userdata, const xmlChar *name, const xmlChar *prefix,
                       const xmlChar *uri, int n_namespaces, const xmlChar **namespaces,
                       int n_attributes, int n_defaulted, const xmlChar **attributes)
{
        xmlParserCtxt *context = userdata;
        Guard *guard = context->_private;

        if (++guard->n_elements > ELEMENTS_MAX) {
                refuse(context, "it has too many elements");
                return;
        }
        xmlSAX2StartElementNs(context, name, prefix, uri, n_namespaces, namespaces, n_attributes,
                              n_defaulted, attributes);
}

static bool begins_with(const char *p, const char *end, const char *prefix)
{
        size_t n = strlen(prefix);

        return (size_t)(end - p) >= n && memcmp(p, prefix, n) == 0;
}

/* After "<!--", "<![CDATA[" or "<?": what follows its end, or the end of the text. */
static const char *skip_section(const char *p, const char *end)
{
        static const struct {
                const char *begin, *end;
        } sections[] = {{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}};

        for (size_t i = 0; i < G_N_ELEMENTS(sections); i++)
                if (begins_with(p, end, sections[i].begin)) {
                        size_t n = strlen(sections[i].end);

                        p += strlen(sections[i].begin);
                        p = memmem(p, (size_t)(end - p), sections[i].end, n);
                        return p ? p + n : end;
                }
        return NULL;
}

/* Whether some tag has more attributes than anybody needs: libxml2 compares each with each before
 * it tells anybody of the element. Never asks for the length of what is left: that would make it
 * quadratic where such questions are checked. */
static bool has_crowded_tag(const char *p, const char *end)
{
        while ((p = memchr(p, '<', (size_t)(end - p)))) {
                const char *after = skip_section(p, end);
                unsigned n = 0;

                if (after) {
                        p = after;
                        continue;
                }
                for (p++; p < end && *p != '>' && *p != '<'; p++)
                        if (*p == '"' || *p == '\'') {
                                p = memchr(p + 1, *p, (size_t)(end - p - 1));
                                if (!p)
                                        return false; /* not well formed: the parser says so */
                                if (++n > ATTRIBUTES_MAX)
                                        return true;
                        }
        }
        return false;
}

static void set_error(GError **error, const char *why)
{
        g_set_error(error, DL_ERROR, DL_ERROR_LIBVIRT_ERROR, "libvirt's XML cannot be read: %s",
                    why);
}

static xmlDoc *parse(const char *text, size_t size, GError **error)
{
        xmlParserCtxt *context = xmlNewParserCtxt();
        Guard guard = {0};
        xmlDoc *doc;

        if (!context)
                g_error("out of memory"); /* as GLib does */
        context->_private = &guard;
        context->sax->internalSubset = on_dtd;
        context->sax->startElementNs = on_element;

        doc = xmlCtxtReadMemory(context, text, (int)size, NULL, NULL,
                                XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
                                        XML_PARSE_NOCDATA | XML_PARSE_COMPACT |
                                        XML_PARSE_IGNORE_ENC);
        if (guard.refused || !context->nsWellFormed)
                g_clear_pointer(&doc, xmlFreeDoc);
        if (!doc) {
                const xmlError *last = xmlCtxtGetLastError(context);
                g_autofree char *why = g_strdup(guard.refused           ? guard.refused
                                                : last && last->message ? last->message
                                                                        : "not well formed");

                set_error(error, g_strdelimit(g_strstrip(why), "\r\n", ' '));
        }
        xmlFreeParserCtxt(context);
        return doc;
}

xmlDoc *dl_xml_parse(const char *text, GError **error)
{
        static gsize initialized;
        size_t size = strnlen(text, DL_XML_BYTES_MAX + 1);

        if (g_once_init_enter(&initialized)) {
                xmlInitParser();
                g_once_init_leave(&initialized, 1);
        }
        if (size > DL_XML_BYTES_MAX) {
                set_error(error, "it is larger than 16 MiB");
                return NULL;
        }
        /* libvirt's is UTF-8. In any other encoding (it could be declared, or guessed from the
         * first bytes) what looks like a tag would not be one, nor the other way round. */
        if (!g_utf8_validate(text, (gssize)size, NULL) || text[strspn(text, " \t\r\n")] != '<') {
                set_error(error, "it is not XML in UTF-8");
                return NULL;
        }
        if (has_crowded_tag(text, text + size)) {
                set_error(error, "an element has too many attributes");
                return NULL;
        }
        return parse(text, size, error);
}

bool dl_xml_is(const xmlNode *node, const char *name)
{
        return node->type == XML_ELEMENT_NODE && !node->ns &&
               g_str_equal((const char *)node->name, name);
}

const xmlNode *dl_xml_child(const xmlNode *parent, const char *name)
{
        for (const xmlNode *child = parent ? parent->children : NULL; child; child = child->next)
                if (dl_xml_is(child, name))
                        return child;
        return NULL;
}

static char *take(xmlChar *value)
{
        char *copy = g_strdup((char *)value);

        xmlFree(value);
        return copy;
}

char *dl_xml_attribute(const xmlNode *node, const char *name)
{
        return node ? take(xmlGetNoNsProp(node, (const xmlChar *)name)) : NULL;
}

char *dl_xml_text(const xmlNode *node)
{
        return node ? take(xmlNodeGetContent(node)) : NULL;
}

/* XML 1.0 has no way to write most control characters, nor U+FFFE and U+FFFF. */
static bool can_be_written(gunichar c)
{
        return c >= 0x20 ? c != 0xfffe && c != 0xffff : c == '\t' || c == '\n' || c == '\r';
}

static void append_escaped(GString *out, const char *value)
{
        g_autofree char *valid = g_utf8_make_valid(value, -1);

        for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (!can_be_written(c))
                        g_string_append(out, "\xef\xbf\xbd"); /* U+FFFD, the replacement */
                else if (c < 0x80 && (c < 0x20 || strchr("&<>'\"", (int)c)))
                        g_string_append_printf(out, "&#%u;", c);
                else
                        g_string_append_unichar(out, c);
        }
}

void dl_xml_append_attribute(GString *out, const char *name, const char *value)
{
        if (!value)
                return;
        g_string_append_printf(out, " %s='", name);
        append_escaped(out, value);
        g_string_append_c(out, '\'');
}

void dl_xml_append_element(GString *out, const char *name, const char *text)
{
        if (!text)
                return;
        g_string_append_printf(out, "<%s>", name);
        append_escaped(out, text);
        g_string_append_printf(out, "</%s>", name);
}
