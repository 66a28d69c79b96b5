"""Names of months in the languages of Europe, Indonesian and Malay, as dates are written in them.

Source: Unicode CLDR 48 (`babel.Locale.months`, wide and abbreviated, in format and alone), and the German and Spanish variants "Jänner",
"Maerz", "Mrz" and "setiembre". Names are case-folded and without accents and dots, and have three letters at least. "lip", "lis",
"listopad", "listopada" and "srp" are left out: they are different months in Croatian, Czech and Polish.
"""

import unicodedata

_NAMES = (
    "ene enero gen gener gennaio ian ianuarie jaan jaanuar jaenner jan janar janeiro janner januar januara januari january janv "
    "janvaris janvier led leden ledna oca ocak saus sausio sausis sij sijecanj sijecnja sty styczen stycznia tammi tammikuu tammikuuta "
    "urt urtarrila xan xaneiro ιαν ιανουαριοσ ιανουαριου сту студзень студзеня січ січень січня янв январь января яну януари јан јануар "
    "јануари",
    "feb febbraio febr febreiro febrer febrero februar februara februari februarie februaris february fev fevereiro fevr fevrier helmi "
    "helmikuu helmikuuta lut lutego luty ots otsaila shk shkurt sub subat uno unor unora vas vasario vasaris veebr veebruar velj "
    "veljaca veljace φεβ φεβρουαριοσ φεβρουαριου лют лютага лютии лютого люты феб фебруар фев февр февраль февраля февруари",
    "bre brezen brezna kov kovas kovo maalis maaliskuu maaliskuuta maart mac maerz mar marc marca march marcius marco marec maret mars "
    "mart martie marts martxoa marz marzec marzo mrt mrz ozu ozujak ozujka μαρ μαρτιοσ μαρτιου бер березень березня мар март марта сак "
    "сакавік сакавіка",
    "abr abril api apirila apr april aprila aprile aprilie aprilis aprill avr avril bal balandis balandzio dub duben dubna huhti "
    "huhtikuu huhtikuuta kwi kwiecien kwietnia nis nisan pri prill tra travanj travnja απρ απριλιοσ απριλιου апр апрель апреля април "
    "квіт квітень квітня кра красавік красавіка",
    "geg geguze geguzes kve kveten kvetna mag maggio mai maiatza maig maijs maio maj maja majus may mayo mayis mei svi svibanj svibnja "
    "touko toukokuu toukokuuta μαι μαιοσ μαιου маи мая мај трав травень травня",
    "birz birzelio birzelis cerven cervna cvn cze czerwca czerwiec eka ekaina giu giugno haz haziran iun iunie juin jun juna june junho "
    "juni junij junijs junio junius juny juuni kesa kesakuu kesakuuta lipanj lipnja qer qershor xuno ιουν ιουνιοσ ιουνιου июн июнь июня "
    "черв червень червня чэр чэрвень чэрвеня юни јун јуни",
    "cervence cervenec cvc heina heinakuu heinakuuta iul iulie juil juillet jul jula julai julho juli julij julijs julio juliol julius "
    "july juuli korr korrik liep liepa liepos lipca lipiec lug luglio srpanj srpnja tem temmuz uzt uztaila xul xullo ιουλ ιουλιοσ "
    "ιουλιου июл июль июля лип липень липня ліп ліпень ліпеня юли јул јули",
    "abu abuztua ago agost agosto agu agust agustos agustus aout aug august augusta augusti augusts augustus augusztus avg avgust elo "
    "elokuu elokuuta gush gusht kol kolovoz kolovoza ogo ogos rugp rugpjucio rugpjutis sie sierpien sierpnia srpen srpna αυγ αυγουστοσ "
    "αυγουστου авг август августа жні жнівень жніуня серп серпень серпня",
    "eyl eylul ira iraila rugs rugsejis rugsejo ruj rujan rujna sep sept septembar september septembra septembre septembrie septembris "
    "septiembre set setembre setembro setiembre settembre sht shtator syys syyskuu syyskuuta szept szeptember wrz wrzesien wrzesnia zar "
    "zari σεπ σεπτεμβριοσ σεπτεμβριου вер верасень верасня вересень вересня сент сентябрь сентября сеп септембар септември",
    "eki ekim loka lokakuu lokakuuta oct october octobre octombrie octubre okt oktobar oktober oktobra oktobris oktoober ott ottobre "
    "out outubro paz pazdziernik pazdziernika rij rijen rijna spal spalio spalis tet tetor urr urria οκτ οκτωβριοσ οκτωβριου жовт "
    "жовтень жовтня кас кастрычнік кастрычніка окт октобар октомври октябрь октября",
    "aza azaroa kas kasim lapkr lapkricio lapkritis listopadu marras marraskuu marraskuuta nen nentor noiembrie nov novembar november "
    "novembra novembre novembris novembro noviembre stu studeni studenoga νοε νοεμβριοσ νοεμβριου лист листопад листопада ліс лістапад "
    "лістапада нов новембар ное ноември нояб ноябрь ноября",
    "abe abendua ara aralik dec decembar december decembra decembre decembrie decembris decembro des desember desembre dets detsember "
    "dez dezember dezembro dhj dhjetor dic dicembre diciembre dis disember gru grudnia grudzien gruod gruodis gruodzio joulu joulukuu "
    "joulukuuta pro prosinac prosinca prosince prosinec δεκ δεκεμβριοσ δεκεμβριου груд грудень грудня дек декабрь декабря декември дец "
    "децембар сне снежань снежня",
)
MONTHS = {name: number for number, names in enumerate(_NAMES, 1) for name in names.split()}


def month_number(word: str) -> int | None:
    """1 to 12 for a month's name in upper or lower case, with or without accents; None for any other word."""
    return MONTHS.get(fold(word))


def fold(word: str) -> str:
    """The word without case, accents and the Turkish dotless i: "Févr" → "fevr"."""
    letters = unicodedata.normalize("NFKD", word.casefold().replace("\u0131", "i"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
